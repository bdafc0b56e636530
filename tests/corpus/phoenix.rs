//! The PHOENIX-2014-T layout: a folder of PNG frames per clip, and a `|`-separated table per split whose
//! `video` column names a `/1/` level that the folders do not have, as in the release.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result};
use rayon::prelude::*;

use crate::canvas::Canvas;
use crate::corpus::{Counts, Layout, Parameters, write_file};
use crate::landmarks::Landmarks;
use crate::level::Utterance;
use crate::lexicon::Language;
use crate::plan::{Clip, SPLITS};
use crate::random::Random;
use crate::signer::Scene;
use crate::{figure, performance};

const SIZE: [usize; 2] = [210, 260];
/// Sentences per broadcast, which is what the first number of a clip's name counts.
const BROADCAST: usize = 6;

fn clip_name(index: usize) -> String {
    format!("demo_{:04}-{}", index / BROADCAST + 1, index % BROADCAST)
}

pub(crate) fn render(
    root: &Path,
    clips: &[Clip],
    parameters: &Parameters,
    done: &(dyn Fn() + Sync),
) -> Result<Counts> {
    let frames: Vec<usize> = clips
        .par_iter()
        .enumerate()
        .map(|(index, clip)| {
            let frames = render_clip(root, &clip_name(index), clip, parameters);
            done();
            frames
        })
        .collect::<Result<_>>()?;
    for split in SPLITS {
        let mut table = String::from("name|video|start|end|speaker|orth|translation\n");
        for (index, clip) in clips.iter().enumerate().filter(|(_, clip)| clip.split == split) {
            let name = clip_name(index);
            let (speaker, sentence) = (clip.signer.name, &clip.sentence);
            let (glosses, text) = (sentence.glosses(), &sentence.text);
            writeln!(table, "{name}|{name}/1/*.png|-1|-1|{speaker}|{glosses}|{text}")?;
        }
        let file = format!("PHOENIX-2014-T.{}.corpus.csv", Layout::Phoenix.folder(split));
        write_file(&root.join("annotations/manual").join(file), table.as_bytes())?;
    }
    Ok(Counts::new(clips, &frames))
}

fn render_clip(root: &Path, name: &str, clip: &Clip, parameters: &Parameters) -> Result<usize> {
    let split = Layout::Phoenix.folder(clip.split);
    let folder = root.join("features/fullFrame-210x260px").join(split).join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let Parameters { seed, level, .. } = *parameters;
    let mut random = Random::named(seed, name);
    let scene = Scene::new(SIZE, &mut random);
    let signer = clip.signer.today(&mut random);
    let [top, bottom] = signer.background;
    let mut canvas = Canvas::new(scene.camera, top, bottom, scene.light)?;
    let utterance = Utterance::of(&clip.sentence, level, Language::German, seed, name);
    let bodies = performance::perform(&utterance, &scene.manner, &mut random);
    let mut landmarks = Landmarks::default();
    for (index, body) in bodies.iter().enumerate() {
        let face = figure::draw(&mut canvas, &signer, scene.head(index), body)?;
        landmarks.push(&face, canvas.camera());
        let frame = canvas.frame(&mut random)?;
        write_png(&folder.join(format!("images{:04}.png", index + 1)), &frame)?;
    }
    let path = root.join("landmarks").join(split).join(format!("{name}.npy"));
    landmarks.write(&path)?;
    Ok(bodies.len())
}

fn write_png(path: &Path, frame: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        let file = BufWriter::new(File::create(path)?);
        let mut encoder = png::Encoder::new(file, SIZE[0] as u32, SIZE[1] as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        // Twenty thousand frames: a fifth smaller than the crate's fast setting, in a fifth of the time that its
        // default takes.
        encoder.set_deflate_compression(png::DeflateCompression::Level(2));
        encoder.set_filter(png::Filter::Sub);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(frame)?;
        Ok(writer.finish()?)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
