//! From a list of signs to the body of every frame: strokes, the transitions between them (coarticulation),
//! and the mouth, which runs on its own track beside the hands. As in real signing, not every sign is mouthed, and a
//! hand passes the mouth now and then.

use crate::figure::BodyPose;
use crate::geometry::{Blend, at, minimum_jerk};
use crate::handshape;
use crate::level::Utterance;
use crate::mouthing::{Mouth, Viseme};
use crate::random::Random;
use crate::sign::{HandPose, Mouthed, Sign};
use crate::signer::Manner;

/// Hands lie low in the lap between sentences.
const RESTING: HandPose = HandPose {
    palm: at(-24.0, 226.0),
    angle: 62.0,
    facing: -1.0,
    shape: handshape::HandShape { fingers: [0.5, 0.6, 0.6, 0.6, 0.6], spread: 0.1 },
};

/// In front of the mouth.
const AT_MOUTH: HandPose = HandPose {
    palm: at(-8.0, 90.0),
    angle: 12.0,
    facing: -1.0,
    shape: handshape::HandShape { fingers: [0.3, 0.8, 0.8, 0.8, 0.8], spread: 0.1 },
};

/// Before one sign in so many the hand passes the mouth.
const PASSING: usize = 12;

pub(crate) fn resting() -> BodyPose {
    BodyPose { right: RESTING, left: RESTING.mirrored(), mouth: Viseme::Rest.mouth() }
}

/// The whole of a sentence, from rest to rest.
pub(crate) fn perform(utterance: &Utterance, manner: &Manner, random: &mut Random) -> Vec<BodyPose> {
    let mut hands = Hands { right: vec![RESTING], left: vec![RESTING.mirrored()] };
    let mut lips = vec![(0, Viseme::Rest)];
    hands.hold(1 + random.below(3) + utterance.margin);
    for sign in &utterance.signs {
        let jitter = Jitter::new(random);
        let frames = (5.2 * manner.slowness + random.spread(1.2)).round().max(4.0) as usize;
        let stroke: Vec<(HandPose, HandPose)> = (0..frames)
            .map(|frame| {
                let time = frame as f32 / (frames - 1) as f32;
                let (right, left) = pose(sign, time, manner.amplitude);
                (jitter.right(right), left.map_or(RESTING.mirrored(), |pose| jitter.left(pose)))
            })
            .collect();
        if random.below(PASSING) == 0 {
            hands.travel((AT_MOUTH, hands.last().1), manner.slowness);
            hands.push((AT_MOUTH, hands.last().1));
        }
        let before = hands.right.len();
        hands.travel(stroke[0], manner.slowness);
        let onset = hands.right.len();
        stroke.into_iter().for_each(|poses| hands.push(poses));
        let silent = match sign.mouthed {
            Mouthed::Always => false,
            Mouthed::Never => true,
            Mouthed::AllButOneIn(many) => random.below(many) == 0,
        };
        if silent {
            lips.push((before, Viseme::Rest));
            lips.push((hands.right.len(), Viseme::Rest));
            continue;
        }
        // The lips start while the hands still travel and are done with the stroke.
        let visemes = sign.mouthing.visemes();
        let (from, to) = ((before + onset) as f32 / 2.0, hands.right.len() as f32 - 0.5);
        for (index, &viseme) in visemes.iter().enumerate() {
            let share = (index as f32 + 0.5) / visemes.len() as f32;
            lips.push(((from + (to - from) * share) as usize, viseme));
        }
    }
    let last = hands.right.len();
    hands.travel((RESTING, RESTING.mirrored()), 1.3 * manner.slowness);
    hands.hold(2 + random.below(3) + utterance.margin);
    lips.push((last + 2, Viseme::Rest));
    // The first entry is the rest before everything.
    lips.iter_mut().skip(1).for_each(|(frame, _)| *frame = frame.saturating_add_signed(utterance.lag));
    let mouths = mouth_track(&lips, hands.right.len());
    (hands.right.into_iter().zip(hands.left).zip(mouths))
        .map(|((right, left), mouth)| BodyPose { right, left, mouth })
        .collect()
}

/// Right and left hand of a sign at `time` in 0..=1 of the stroke; `None`: the left hand rests. Blurred hands may come near
/// the mouth, as those between KAUM and MEHR do.
fn pose(sign: &Sign, time: f32, amplitude: f32) -> (HandPose, Option<HandPose>) {
    let (right, left) = sign.hands.pose(time, amplitude);
    let Some((other_right, other_left)) = sign.blurred.map(|hands| hands.pose(time, amplitude)) else {
        return (right, left);
    };
    let resting = |hand: Option<HandPose>| hand.unwrap_or(RESTING.mirrored());
    let both = left.or(other_left).map(|_| resting(left).blend(resting(other_left), 0.5));
    (right.blend(other_right, 0.5), both)
}

struct Hands {
    right: Vec<HandPose>,
    left: Vec<HandPose>,
}

impl Hands {
    fn last(&self) -> (HandPose, HandPose) {
        let last = self.right.len() - 1;
        (self.right[last], self.left[last])
    }

    fn push(&mut self, (right, left): (HandPose, HandPose)) {
        self.right.push(right);
        self.left.push(left);
    }

    fn hold(&mut self, frames: usize) {
        let (right, left) = self.last();
        self.right.extend(vec![right; frames]);
        self.left.extend(vec![left; frames]);
    }

    /// The frames between two strokes: more of them the farther the hands have to go.
    fn travel(&mut self, target: (HandPose, HandPose), slowness: f32) {
        let (right, left) = self.last();
        let far = (target.0.palm - right.palm).length().max((target.1.palm - left.palm).length());
        let frames = ((1.6 + far / 55.0) * slowness).round().clamp(2.0, 5.0) as usize;
        for frame in 1..=frames {
            let share = minimum_jerk(frame as f32 / (frames + 1) as f32);
            self.push((right.blend(target.0, share), left.blend(target.1, share)));
        }
    }
}

/// No two productions of a sign are alike.
struct Jitter {
    places: [crate::geometry::Point; 2],
    angle: f32,
}

impl Jitter {
    fn new(random: &mut Random) -> Self {
        let mut place = || at(random.spread(5.0), random.spread(5.0));
        Self { places: [place(), place()], angle: random.spread(10.0) }
    }

    fn right(&self, pose: HandPose) -> HandPose {
        HandPose { palm: pose.palm + self.places[0], angle: pose.angle + self.angle, ..pose }
    }

    fn left(&self, pose: HandPose) -> HandPose {
        HandPose { palm: pose.palm + self.places[1], angle: pose.angle - self.angle, ..pose }
    }
}

/// Cosine blends from one lip shape to the next.
fn mouth_track(lips: &[(usize, Viseme)], frames: usize) -> Vec<Mouth> {
    let mut mouths = Vec::with_capacity(frames);
    for pair in lips.windows(2) {
        let [(from, viseme), (to, next)] = [pair[0], pair[1]];
        for frame in from..to {
            let share = (frame - from) as f32 / (to - from) as f32;
            let share = 0.5 - 0.5 * (std::f32::consts::PI * share).cos();
            mouths.push(viseme.mouth().blend(next.mouth(), share));
        }
    }
    mouths.resize(frames, Viseme::Rest.mouth());
    mouths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::Level;
    use crate::lexicon::{Form, LEXICON, Language, Usage};
    use crate::mouthing::Mouthing;
    use crate::plan::plan;
    use crate::sign::Sign;

    /// What is midway between two signs is the same from both sides.
    #[test]
    fn blurred_hands() {
        for form in LEXICON {
            let sign = |one: &Form, other: &Form| Sign {
                hands: one.hands(),
                blurred: Some(other.hands()),
                mouthing: Mouthing::of_visemes(Vec::new()),
                mouthed: Mouthed::Never,
            };
            let (sign, back) = (sign(form, form.neighbour()), sign(form.neighbour(), form));
            for time in [0.0, 0.25, 0.5, 1.0] {
                let [(right, left), (right_back, left_back)] =
                    [&sign, &back].map(|sign| pose(sign, time, 1.05));
                assert!((right.palm - right_back.palm).length() < 1e-3, "{}", form.name());
                assert_eq!(left.is_some(), left_back.is_some(), "{}", form.name());
            }
        }
    }

    /// Lips that are late are the same lips later, and the hands are where they were; nothing is cut off at the ends.
    #[test]
    fn lips_lag() {
        let (clips, _) = plan(32, 1, Language::German, Usage::Natural).unwrap();
        let manner = Manner { slowness: 1.0, amplitude: 1.0 };
        let perform = |clip: &crate::plan::Clip, lag: isize| {
            let mut utterance =
                Utterance::of(&clip.sentence, Some(Level::Lagged), Language::German, 1, "clip");
            utterance.lag = lag;
            super::perform(&utterance, &manner, &mut Random::named(1, "clip"))
        };
        for clip in &clips {
            let plain = perform(clip, 0);
            for lag in [-8, 8_isize] {
                let moved = perform(clip, lag);
                assert_eq!(moved.len(), plain.len());
                assert!(moved.iter().zip(&plain).all(|(a, b)| a.right == b.right && a.left == b.left));
                let frames = plain.len();
                for (frame, pose) in plain.iter().enumerate().take(frames - 8).skip(frames / 2) {
                    assert_eq!(moved[frame.saturating_add_signed(lag)].mouth, pose.mouth, "{frame} {lag}");
                }
                assert_eq!(moved[frames - 1].mouth, Viseme::Rest.mouth());
            }
        }
    }
}
