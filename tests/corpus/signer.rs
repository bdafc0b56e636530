//! What the signers look like, and what differs from clip to clip for one signer: where they stand, how bright
//! it is, how big and how fast they sign.

use crate::canvas::{Camera, Colour, Light};
use crate::geometry::{Point, at};
use crate::random::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hair {
    Short,
    Long,
}

#[derive(Clone, Debug)]
pub(crate) struct Signer {
    /// As the `speaker` column names it.
    pub(crate) name: &'static str,
    pub(crate) skin: Colour,
    pub(crate) lips: Colour,
    pub(crate) iris: Colour,
    pub(crate) hair_colour: Colour,
    pub(crate) hair: Hair,
    pub(crate) clothes: Colour,
    pub(crate) background: [Colour; 2],
    /// Stage units per unit of the mean face, across and down.
    pub(crate) face: [f32; 2],
    pub(crate) shoulders: f32,
    /// Upper arm, forearm.
    pub(crate) arms: [f32; 2],
    pub(crate) hand: f32,
}

impl Signer {
    /// In other clothes, before another wall, and lit and made up a little differently.
    pub(crate) fn today(&self, random: &mut Random) -> Self {
        let mut tinted = |colour: Colour, limit: f32| {
            Colour(colour.0.map(|channel| channel * (1.0 + random.spread(limit))))
        };
        Self {
            skin: tinted(self.skin, 0.06),
            lips: tinted(self.lips, 0.12),
            hair_colour: tinted(self.hair_colour, 0.2),
            clothes: tinted(self.clothes, 0.3),
            background: self.background.map(|colour| tinted(colour, 0.12)),
            ..self.clone()
        }
    }
}

/// Takes turns with [`SECOND`] in every split, as the signers of the real data sets do.
pub(crate) static FIRST: Signer = Signer {
    name: "Signer01",
    skin: Colour([232.0, 190.0, 165.0]),
    lips: Colour([186.0, 84.0, 84.0]),
    iris: Colour([70.0, 95.0, 120.0]),
    hair_colour: Colour([110.0, 72.0, 42.0]),
    hair: Hair::Short,
    clothes: Colour([48.0, 50.0, 60.0]),
    background: [Colour([205.0, 208.0, 212.0]), Colour([172.0, 176.0, 184.0])],
    face: [0.44, 0.45],
    shoulders: 42.0,
    arms: [62.0, 58.0],
    hand: 1.15,
};

/// Of other looks and other proportions than [`FIRST`].
pub(crate) static SECOND: Signer = Signer {
    name: "Signer02",
    skin: Colour([182.0, 132.0, 100.0]),
    lips: Colour([132.0, 58.0, 60.0]),
    iris: Colour([60.0, 38.0, 25.0]),
    hair_colour: Colour([32.0, 26.0, 26.0]),
    hair: Hair::Long,
    clothes: Colour([30.0, 46.0, 42.0]),
    background: [Colour([196.0, 206.0, 190.0]), Colour([150.0, 168.0, 160.0])],
    face: [0.41, 0.44],
    shoulders: 38.0,
    arms: [59.0, 56.0],
    hand: 1.08,
};

/// One clip's (or one video's) share of chance.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) camera: Camera,
    pub(crate) light: Light,
    pub(crate) manner: Manner,
    sway: [f32; 6],
    blinks: (usize, usize),
}

/// How somebody signs today.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// Frames per frame of the dictionary form.
    pub(crate) slowness: f32,
    /// Size of movements.
    pub(crate) amplitude: f32,
}

/// The head of one frame: where it sits, how it leans (degrees), how far the eyes are open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) place: Point,
    pub(crate) lean: f32,
    pub(crate) eyes: f32,
    pub(crate) brows: f32,
}

impl Scene {
    pub(crate) fn new(size: [usize; 2], random: &mut Random) -> Self {
        let [width, height] = size;
        // A wide picture shows a little less of the body than the 210 x 260 one, and so a larger face.
        let fit = if width > height { height as f32 / 238.0 } else { height as f32 / 260.0 };
        let scale = fit * (1.0 + random.spread(0.06));
        let sideways = width as f32 / 2.0 + random.spread(8.0) * fit;
        let down = random.spread(6.0) * fit;
        let brightness = 1.0 + random.spread(0.12);
        let mut sway = [0.0; 6];
        sway.iter_mut().for_each(|phase| *phase = random.between(0.0, std::f32::consts::TAU));
        Self {
            camera: Camera { width, height, scale, origin: at(sideways, down) },
            light: Light {
                channels: [0.0; 3].map(|_: f32| brightness * (1.0 + random.spread(0.03))),
                slope: random.spread(0.16),
                grain: 1 + random.below(3) as i32,
            },
            manner: Manner { slowness: 1.0 + random.spread(0.15), amplitude: 1.0 + random.spread(0.15) },
            sway,
            blinks: (45 + random.below(50), random.below(40)),
        }
    }

    /// A head is never quite still. A function of the frame number alone, hence smooth across a video's
    /// sentences and pauses.
    pub(crate) fn head(&self, frame: usize) -> Head {
        let time = frame as f32 / 25.0;
        let wave = |which: usize, speed: f32| (time * speed + self.sway[which]).sin();
        let (every, first) = self.blinks;
        let eyes = match (frame + every - first % every) % every {
            0 | 3 => 0.45,
            1 | 2 => 0.05,
            _ => 1.0,
        };
        Head {
            place: at(1.6 * wave(0, 2.3) + 0.8 * wave(1, 5.1), 68.0 + 1.2 * wave(2, 2.9)),
            lean: 2.2 * wave(3, 1.9) + 0.8 * wave(4, 4.3),
            eyes,
            brows: wave(5, 3.1),
        }
    }
}
