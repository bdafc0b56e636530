//! Sentences without clips, for a language model that is to know the language: drawn as those of the corpus are.
//!
//! What is signed alike in dev or test is left out, whichever word of a pair is meant. Were only the very sentence left
//! out, the missing one of two would be the answer.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::corpus::Parameters;
use crate::grammar::Grammar;
use crate::lexicon::Form;
use crate::plan::{Clip, Split};
use crate::random::Random;

/// `count` sentences, one a line. They come as often as the grammar brings them, so that some come again. `clips`: of the
/// corpus that they belong to.
pub(crate) fn text(count: usize, clips: &[Clip], parameters: &Parameters) -> Result<String> {
    let (language, usage) = (parameters.language(), parameters.usage());
    let names = |forms: &mut dyn Iterator<Item = &'static Form>| forms.map(Form::name).collect::<Vec<_>>();
    let held_out: BTreeSet<Vec<&str>> = clips
        .iter()
        .filter(|clip| clip.split != Split::Train)
        .map(|clip| names(&mut clip.sentence.words.iter().map(|(form, _)| *form)))
        .collect();
    let mut random = Random::named(parameters.seed, "sentences without clips");
    let mut grammar = Grammar::new(language, usage);
    let mut text = String::new();
    let mut written = 0;
    for _ in 0..count.saturating_mul(20) {
        if written == count {
            return Ok(text);
        }
        let outline = grammar.outline(&mut random);
        let choices: Vec<usize> = outline.forms().map(|form| random.below(form.words(usage).len())).collect();
        if !held_out.contains(&names(&mut outline.forms())) {
            text += &outline.sentence(&choices, language).text;
            text.push('\n');
            written += 1;
        }
    }
    bail!("the grammar has little beside dev and test: use fewer --clips")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Layout;
    use crate::level::Level;
    use crate::plan::plan;

    #[test]
    fn none_is_in_dev_or_test() {
        for level in [None, Some(Level::Clean)] {
            let parameters = Parameters::new(Layout::Phoenix, 2400, 1, [210, 260], level);
            let (clips, _) = plan(2400, 1, parameters.language(), parameters.usage()).unwrap();
            let text = text(20_000, &clips, &parameters).unwrap();
            let lines: BTreeSet<&str> = text.lines().collect();
            assert_eq!(text.lines().count(), 20_000);
            let found = |split| {
                clips
                    .iter()
                    .filter(|clip| clip.split == split)
                    .filter(|clip| lines.contains(clip.sentence.text.as_str()))
                    .count()
            };
            assert_eq!((found(Split::Dev), found(Split::Test)), (0, 0));
            // The check would find them: sentences of train do come.
            assert!(found(Split::Train) > 100, "{}", found(Split::Train));
        }
    }

    /// Of two sentences that are signed alike neither is there.
    #[test]
    fn the_other_word_of_a_pair_does_not_tell() {
        let parameters = Parameters::new(Layout::Phoenix, 2400, 1, [210, 260], Some(Level::Noisy));
        let (mut clips, _) = plan(2400, 1, parameters.language(), parameters.usage()).unwrap();
        let common = |clips: &[Clip]| {
            let text = text(5_000, clips, &parameters).unwrap();
            ["heute", "jetzt"].map(|day| text.lines().filter(|line| line.starts_with(day)).count())
        };
        let before = common(&clips);
        // A test split of everything that begins with one of the two words.
        clips.retain(|clip| clip.sentence.text.starts_with("heute"));
        clips.iter_mut().for_each(|clip| clip.split = Split::Test);
        let after = common(&clips);
        assert!(after[1] < before[1] * 9 / 10, "{before:?} {after:?}");
    }
}
