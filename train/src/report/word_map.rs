//! A map of the fused features coloured by word (paper, Feature Visualization, Figure 4): t-SNE (van der Maaten and
//! Hinton, 2008), by the crate `bhtsne`.
//!
//! The paper does not say how its figure gives features a word. Here a point is one word of one reference: the mean of
//! Z_fused over the frames of the clip, weighted by how much the word's log probability depends on each (see
//! [`SignClip::features_behind`]). Distances are those of the cosine. The map begins at the first two principal
//! components, so that it is the same each time.

use super::chart::{MARKS, mark, n};
use super::page::{missing, section};
use crate::data::corpus::{Corpus, Window};
use crate::language::inputs::IGNORE;
use crate::language::text::Text;
use crate::metrics::ambiguous::AmbiguousWords;
use crate::training::model::SignClip;
use maud::{Markup, html};
use signclip_common::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// Points of a word at the most, from the first clips that have it.
const OF_A_WORD: usize = 40;
/// A word in a larger share of the clips says little about any of them.
const COMMON: f64 = 1.0 / 3.0;
/// Fewer points make no map.
const FEWEST: usize = 12;

/// Where the features behind words lie.
pub(super) struct WordMap {
    words: Vec<String>,
    /// Word and place of each point, the places from 0 to 1.
    points: Vec<(usize, [f64; 2])>,
    /// Share of the points whose nearest neighbour from another clip is of the same word, among the features
    /// themselves; and what it would be if neighbours were drawn blindly.
    same: f64,
    by_chance: f64,
}

/// A word to draw in a clip: its number, and which target tokens it consists of.
struct Wanted {
    word: usize,
    tokens: Vec<bool>,
}

impl WordMap {
    /// `None` where there are too few words. `corpus` must be [tokenised](Corpus::tokenise).
    pub(super) fn of(
        model: &SignClip,
        corpus: &Corpus,
        text: &Text,
        pairs: Option<&AmbiguousWords>,
    ) -> Result<Option<Self>> {
        let names = choose(&corpus.texts, pairs);
        let mut counts = vec![0; names.len()];
        let mut labels: Vec<(usize, usize)> = Vec::new();
        let mut features = Vec::new();
        for clip in 0..corpus.len() {
            let wanted = wanted(corpus, clip, text, &names, &mut counts)?;
            if wanted.is_empty() {
                continue;
            }
            let batch = corpus.batch(&vec![clip; wanted.len()], Window::Middle)?.to_device(model.device());
            let chosen: Vec<bool> = wanted.iter().flat_map(|w| w.tokens.iter().copied()).collect();
            let chosen_bl = Tensor::from_slice(&chosen).view_as(&batch.labels).to_device(model.device());
            let chosen_bl = chosen_bl.logical_and(&batch.labels.ne(IGNORE));
            features.push(model.features_behind(&batch, &chosen_bl)?.to_device(Device::Cpu));
            labels.extend(wanted.iter().map(|w| (w.word, clip)));
        }
        if labels.len() < FEWEST {
            return Ok(None);
        }
        let centred_nd = Tensor::cat(&features, 0);
        let centred_nd = &centred_nd - centred_nd.mean_dim(0, true, Kind::Float);
        let unit_nd = &centred_nd / centred_nd.norm_scalaropt_dim(2, [1], true).clamp_min(1e-12);
        let (same, by_chance) = neighbours(&unit_nd, &labels);
        let places = embed(&unit_nd)?;
        let points = labels.iter().map(|(word, _)| *word).zip(places).collect();
        Ok(Some(Self { words: names, points, same, by_chance }))
    }
}

/// Words to draw: the most frequent of those that are not in too many clips; ambiguous ones first.
fn choose(texts: &[String], pairs: Option<&AmbiguousWords>) -> Vec<String> {
    let mut clips: BTreeMap<String, usize> = BTreeMap::new();
    for text in texts {
        let distinct: BTreeSet<String> = words(text).map(|(_, word)| word).collect();
        distinct.into_iter().for_each(|word| *clips.entry(word).or_default() += 1);
    }
    let most = (texts.len() as f64 * COMMON).max(2.0) as usize;
    let mut words: Vec<(String, usize)> =
        clips.into_iter().filter(|(_, clips)| (2..=most).contains(clips)).collect();
    let ambiguous =
        |word: &str| pairs.is_some_and(|pairs| pairs.pairs().iter().flatten().any(|of| of == word));
    words.sort_by_key(|(word, clips)| (!ambiguous(word), std::cmp::Reverse(*clips), word.clone()));
    words.truncate(MARKS);
    words.into_iter().map(|(word, _)| word).collect()
}

/// The words of a text: their bytes, and the word in lower case, without punctuation.
fn words(text: &str) -> impl Iterator<Item = (Range<usize>, String)> {
    let pieces =
        text.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '\'')).filter(|w| !w.is_empty());
    pieces.map(|word| {
        let begin = word.as_ptr().addr() - text.as_ptr().addr();
        (begin..begin + word.len(), word.to_lowercase())
    })
}

/// The words to draw in a clip, each once.
fn wanted(
    corpus: &Corpus,
    clip: usize,
    text: &Text,
    names: &[String],
    counts: &mut [usize],
) -> Result<Vec<Wanted>> {
    let sentence = &corpus.texts[clip];
    let spans = text.spans(sentence)?;
    let mut wanted: Vec<Wanted> = Vec::new();
    for (bytes, word) in words(sentence) {
        let Some(number) = names.iter().position(|name| *name == word) else { continue };
        if wanted.iter().any(|w| w.word == number) || counts[number] == OF_A_WORD {
            continue;
        }
        // A span may begin with the space before the word; the end token's is empty.
        let inside = |span: &Range<usize>| span.start < bytes.end && span.end > bytes.start;
        let tokens: Vec<bool> = spans.iter().map(inside).collect();
        if tokens.contains(&true) {
            counts[number] += 1;
            wanted.push(Wanted { word: number, tokens });
        }
    }
    Ok(wanted)
}

/// [`WordMap::same`] and [`WordMap::by_chance`] of features of length 1; `labels`: word and clip of each.
fn neighbours(unit_nd: &Tensor, labels: &[(usize, usize)]) -> (f64, f64) {
    let near_nn = unit_nd.matmul(&unit_nd.tr());
    let (mut same, mut chance) = (0, 0.0);
    for (row, (word, clip)) in (0..).zip(labels) {
        let near = Vec::<f32>::try_from(near_nn.get(row)).unwrap_or_default();
        let others: Vec<(f32, usize)> = near
            .into_iter()
            .zip(labels)
            .filter(|(_, (_, other))| other != clip)
            .map(|(near, (other, _))| (near, *other))
            .collect();
        let nearest = others.iter().max_by(|a, b| a.0.total_cmp(&b.0));
        same += usize::from(nearest.is_some_and(|(_, other)| other == word));
        let alike = others.iter().filter(|(_, other)| other == word).count();
        chance += alike as f64 / others.len().max(1) as f64;
    }
    (same as f64 / labels.len() as f64, chance / labels.len() as f64)
}

/// Places of the features on the map, 0 to 1 in both directions.
fn embed(unit_nd: &Tensor) -> Result<Vec<[f64; 2]>> {
    let (points, dim) = unit_nd.size2()?;
    let (u_nk, s_k, _) = unit_nd.svd(true, true);
    let begin_n2 = (u_nk * s_k).narrow(1, 0, 2);
    // As small as the usual random beginning.
    let begin_n2 = &begin_n2 * (1e-4 / begin_n2.select(1, 0).std(false).double_value(&[]).max(1e-12));
    let values = |x: &Tensor| Vec::<f32>::try_from(x.contiguous().view(-1)).map_err(Error::from);
    let (features, begin) = (values(unit_nd)?, values(&begin_n2)?);
    let rows: Vec<&[f32]> = features.chunks_exact(dim as usize).collect();
    // One thread, so that sums are always taken in the same order.
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let alone = alone.map_err(|e| Error::usage(format!("no thread for the map: {e}"), "try again"))?;
    let places = alone.install(|| {
        let mut tsne: bhtsne::tSNE<f32, &[f32]> = bhtsne::tSNE::new(&rows);
        tsne.perplexity((points as f32 / 4.0).clamp(2.0, 30.0)).initial_embedding(begin);
        tsne.exact(|a, b| 1.0 - a.iter().zip(*b).map(|(a, b)| a * b).sum::<f32>());
        tsne.embedding()
    });
    let ends = |axis: usize| {
        let along = places.iter().skip(axis).step_by(2).map(|&v| f64::from(v));
        along.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let ((left, right), (top, bottom)) = (ends(0), ends(1));
    // One scale for both directions: distances mean the same in each.
    let span = (right - left).max(bottom - top).max(1e-12);
    let place = |at: &[f32]| {
        let inside = |value: f32, low: f64, high: f64| 0.5 + (f64::from(value) - (low + high) / 2.0) / span;
        [inside(at[0], left, right), inside(at[1], top, bottom)]
    };
    Ok(places.chunks_exact(2).map(place).collect())
}

/// The section. `absent`: why there is no map, and the command that helps.
pub(super) fn show(map: Option<&WordMap>, absent: (&str, &str)) -> Markup {
    let body = match map {
        None => missing(absent.0, absent.1),
        Some(map) => html! {
            figure class="map" {
                (draw(map))
                figcaption {
                    "t-SNE of the fused features Z" sub { "fused" } " behind " (map.points.len()) " words of the references: \
                     for each word the mean over the frames, weighted by |gradient · Z" sub { "fused" } "| of the word's log \
                     probability. Only what lies close together means something; directions and empty space do not. The \
                     nearest neighbour of a point, from another clip, is of the same word for "
                    strong { (format!("{:.0} %", 100.0 * map.same)) } " of the points (drawn blindly: "
                    (format!("{:.0} %", 100.0 * map.by_chance)) ")."
                }
            }
        },
    };
    section("words", "Words in the fused features", body)
}

fn draw(map: &WordMap) -> Markup {
    const SIDE: f64 = 560.0;
    const EDGE: f64 = 24.0;
    let at = |[x, y]: [f64; 2]| [EDGE + x * (SIDE - 2.0 * EDGE), EDGE + y * (SIDE - 2.0 * EDGE)];
    let of = |word: usize| map.points.iter().filter(move |(of, _)| *of == word);
    let drawn: Vec<usize> = (0..map.words.len()).filter(|&word| of(word).count() > 0).collect();
    let names: Vec<&str> = drawn.iter().map(|&word| map.words[word].as_str()).collect();
    let label = format!("Map of {} points of the words {}.", map.points.len(), names.join(", "));
    html! {
        svg viewBox=(format!("0 0 {SIDE} {SIDE}")) role="img" aria-label=(label) {
            @for &(word, place) in &map.points {
                @let [x, y] = at(place);
                (mark(word, x, y, 4.0))
            }
            @for &word in &drawn {
                @let [x, y] = at(middle(of(word).map(|(_, place)| *place).collect()));
                text class="halo middle" x=(n(x)) y=(n(y)) { (map.words[word]) }
            }
        }
        ul class="marks" {
            @for &word in &drawn {
                li { svg viewBox="0 0 16 16" aria-hidden="true" { (mark(word, 8.0, 8.0, 5.0)) } (map.words[word])
                    span class="count" { " " (of(word).count()) } }
            }
        }
    }
}

/// The median in each direction.
fn middle(places: Vec<[f64; 2]>) -> [f64; 2] {
    [0, 1].map(|axis| {
        let mut along: Vec<f64> = places.iter().map(|place| place[axis]).collect();
        along.sort_by(f64::total_cmp);
        along.get(along.len() / 2).copied().unwrap_or(0.5)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two bundles of directions: neighbours are of the same word, and the map keeps the bundles apart, the same way
    /// each time.
    #[test]
    fn bundles_stay_together() -> Result<()> {
        tch::manual_seed(5);
        let noise = Tensor::randn([40, 16], (Kind::Float, Device::Cpu)) * 0.1;
        let ends = Tensor::from_slice(&[1.0_f32, -1.0]).repeat_interleave_self_int(20, 0, 40).unsqueeze(1);
        let features = noise + ends * Tensor::ones([1, 16], (Kind::Float, Device::Cpu));
        let unit = &features / features.norm_scalaropt_dim(2, [1], true);
        let labels: Vec<(usize, usize)> = (0..40).map(|i| (i / 20, i)).collect();
        let (same, chance) = neighbours(&unit, &labels);
        assert_eq!((same, (chance - 19.0 / 39.0).abs() < 1e-9), (1.0, true));
        let places = embed(&unit)?;
        assert!(places.iter().flatten().all(|v| (-1e-9..=1.0 + 1e-9).contains(v)));
        let [a, b] = [middle(places[..20].to_vec()), middle(places[20..].to_vec())];
        let far = |p: &[f64; 2], q: &[f64; 2]| (p[0] - q[0]).hypot(p[1] - q[1]);
        assert!(places[..20].iter().all(|p| far(p, &a) < far(p, &b)), "{places:?}");
        assert!(places[20..].iter().all(|p| far(p, &b) < far(p, &a)), "{places:?}");
        assert_eq!(embed(&unit)?, places);
        Ok(())
    }

    #[test]
    fn frequent_words_that_are_not_in_every_clip() {
        let texts = [
            "am montag regen.",
            "am montag schnee.",
            "am freitag regen.",
            "am freitag wind.",
            "am see.",
            "am see.",
        ];
        let chosen = choose(&texts.map(str::to_owned), None);
        assert_eq!(chosen, ["freitag", "montag", "regen", "see"]);
    }
}
