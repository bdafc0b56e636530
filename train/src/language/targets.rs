//! Which linear layers an adapter changes, by the rules of Hugging Face PEFT.

use fancy_regex::Regex;
use serde::{Deserialize, Serialize};
use signclip_common::{Error, Result};

/// Names of linear layers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Targets {
    /// Module paths, or their ends after a dot: `q`, `SelfAttention.q`.
    Names(Vec<String>),
    /// A regular expression that matches the whole module path, as in
    /// `encoder.*|decoder.*(SelfAttention\.[qv]|wi_[01]|wo)`; or `all-linear`, which is every linear layer but the
    /// output layer `lm_head`.
    Pattern(String),
}

/// PEFT's word for every linear layer but the output layer, in any case of letters.
const ALL_LINEAR: &str = "all-linear";

/// What adapters of a family of language models are called.
#[derive(Debug)]
pub struct AdapterNames {
    /// PEFT's name for what the family does.
    pub task_type: &'static str,
    /// What is adapted where the settings do not say.
    pub default_targets: &'static [&'static str],
    /// Ends of the paths of all linear layers but the output layer.
    pub linear: &'static [&'static str],
}

impl AdapterNames {
    /// [`Self::default_targets`] as a setting.
    pub fn targets(&self) -> Targets {
        Targets::names(self.default_targets)
    }
}

impl Targets {
    /// Names from literals.
    pub fn names(names: &[&str]) -> Self {
        Self::Names(names.iter().map(|&name| name.to_owned()).collect())
    }

    /// The same layers, with their names in place of `all-linear`, which PEFT knows from 0.8 on.
    pub fn spelled_out(&self, names: &AdapterNames) -> Self {
        match self {
            Self::Pattern(word) if word.eq_ignore_ascii_case(ALL_LINEAR) => Self::names(names.linear),
            targets => targets.clone(),
        }
    }

    /// The form that decides about modules, once [spelled out](Self::spelled_out). Errors: nothing named, or not a
    /// regular expression.
    pub fn matcher(&self) -> Result<Matcher> {
        match self {
            Self::Names(names) if names.is_empty() => {
                Err(Error::usage("lora.targets is empty", "name the layers to adapt, for example q and v"))
            }
            Self::Names(names) => Ok(Matcher::Names(names.clone())),
            Self::Pattern(pattern) => Ok(Matcher::Pattern(pattern.clone(), whole(pattern)?)),
        }
    }
}

/// [`Targets`], ready for use.
pub enum Matcher {
    Names(Vec<String>),
    Pattern(String, Regex),
}

impl Matcher {
    /// Place in the list of the entry that selects `module`; 0 for a regular expression.
    pub fn target_of(&self, module: &str) -> Option<usize> {
        match self {
            Self::Names(names) => {
                let ends = |name: &String| {
                    module.strip_suffix(name.as_str()).is_some_and(|head| head.ends_with('.'))
                };
                names.iter().position(|name| module == name || ends(name))
            }
            // An expression that gives up on a path of some fifty characters does not select it.
            Self::Pattern(_, regex) => regex.is_match(module).unwrap_or(false).then_some(0),
        }
    }

    /// All entries.
    pub fn entries(&self) -> &[String] {
        match self {
            Self::Names(names) => names,
            Self::Pattern(pattern, _) => std::slice::from_ref(pattern),
        }
    }
}

/// A regular expression that must match from the first to the last character.
fn whole(pattern: &str) -> Result<Regex> {
    compiled(pattern, &format!(r"\A(?:{pattern})\z"))
}

/// Values for the modules whose path, or its end after a dot, matches a regular expression: PEFT's `rank_pattern` and
/// `alpha_pattern`. The first that matches counts.
#[derive(Debug, Clone, Default)]
pub struct Patterns<T> {
    entries: Vec<(String, Regex, T)>,
}

impl<T: Copy> Patterns<T> {
    pub fn new(entries: impl IntoIterator<Item = (String, T)>) -> Result<Self> {
        let entry = |(pattern, value): (String, T)| {
            let regex = compiled(&pattern, &format!(r"\A(?:.*\.)?(?:{pattern})\z"))?;
            Ok((pattern, regex, value))
        };
        Ok(Self { entries: entries.into_iter().map(entry).collect::<Result<_>>()? })
    }

    /// The value for `module`.
    pub fn of(&self, module: &str) -> Option<T> {
        self.entries.iter().find(|(_, regex, _)| regex.is_match(module).unwrap_or(false)).map(|e| e.2)
    }

    /// Patterns with their values.
    pub fn entries(&self) -> impl Iterator<Item = (&str, T)> {
        self.entries.iter().map(|(pattern, _, value)| (pattern.as_str(), *value))
    }
}

impl<T: PartialEq> PartialEq for Patterns<T> {
    fn eq(&self, other: &Self) -> bool {
        let key = |e: &'_ (String, Regex, T)| e.0.clone();
        self.entries.len() == other.entries.len()
            && self.entries.iter().zip(&other.entries).all(|(a, b)| key(a) == key(b) && a.2 == b.2)
    }
}

fn compiled(pattern: &str, whole: &str) -> Result<Regex> {
    Regex::new(whole).map_err(|e| {
        let what = format!("{pattern:?} is not a regular expression ({e})");
        Error::usage(what, "correct it, or give a list of names: [\"q\", \"v\"]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::t5;

    const SELF_Q: &str = "encoder.block.0.layer.0.SelfAttention.q";
    const CROSS_V: &str = "decoder.block.0.layer.1.EncDecAttention.v";

    #[test]
    fn a_name_is_a_path_or_its_end_after_a_dot() -> Result<()> {
        let matcher = Targets::names(&["q", "SelfAttention.v", "lm_head"]).matcher()?;
        assert_eq!(matcher.target_of(SELF_Q), Some(0));
        assert_eq!(matcher.target_of("decoder.block.0.layer.1.EncDecAttention.q"), Some(0));
        assert_eq!(matcher.target_of("encoder.block.0.layer.0.SelfAttention.v"), Some(1));
        assert_eq!(matcher.target_of(CROSS_V), None);
        assert_eq!(matcher.target_of("lm_head"), Some(2));
        assert_eq!(matcher.target_of("block.seq"), None);
        Ok(())
    }

    #[test]
    fn an_expression_matches_the_whole_path() -> Result<()> {
        let selects = |pattern: &str, module: &str| -> Result<bool> {
            Ok(Targets::Pattern(pattern.to_owned()).matcher()?.target_of(module).is_some())
        };
        assert!(selects(r".*\.(q|v)", SELF_Q)? && selects(r".*\.(q|v)", CROSS_V)?);
        assert!(!selects("q", SELF_Q)?, "a part is not enough");
        assert!(!selects("encoder", SELF_Q)? && !selects(r"encoder|.*\.k", SELF_Q)?);
        // The cross-attention left out, as Python users write it.
        let without = r"^(?!.*EncDecAttention).*\.(q|v|wi_0|wi_1|wo)$";
        assert!(selects(without, SELF_Q)? && !selects(without, CROSS_V)?);
        Ok(())
    }

    #[test]
    fn all_linear_is_every_layer_but_the_output() -> Result<()> {
        for word in ["all-linear", "All-Linear"] {
            let matcher = Targets::Pattern(word.to_owned()).spelled_out(&t5::ADAPTER).matcher()?;
            for name in ["q", "k", "v", "o"] {
                assert!(
                    matcher.target_of(&format!("encoder.block.0.layer.0.SelfAttention.{name}")).is_some()
                );
                assert!(
                    matcher.target_of(&format!("decoder.block.1.layer.1.EncDecAttention.{name}")).is_some()
                );
            }
            for name in ["wi_0", "wi_1", "wo"] {
                assert!(
                    matcher.target_of(&format!("decoder.block.1.layer.2.DenseReluDense.{name}")).is_some()
                );
            }
            assert!(matcher.target_of("lm_head").is_none());
        }
        Ok(())
    }

    #[test]
    fn patterns_take_the_first_that_matches() -> Result<()> {
        let patterns = [("SelfAttention.q", 4), ("q", 8), ("block.1.*", 2)];
        let patterns = Patterns::new(patterns.map(|(pattern, r)| (pattern.to_owned(), r)))?;
        assert_eq!(patterns.of(SELF_Q), Some(4));
        assert_eq!(patterns.of("decoder.block.1.layer.1.EncDecAttention.q"), Some(8));
        assert_eq!(patterns.of("decoder.block.1.layer.1.EncDecAttention.v"), Some(2));
        assert_eq!(patterns.of("decoder.block.0.layer.1.EncDecAttention.seq"), None);
        Ok(())
    }

    #[test]
    fn what_selects_nothing_is_refused() {
        assert!(Targets::Names(Vec::new()).matcher().is_err());
        let error = Targets::Pattern("(q".to_owned()).matcher().err().map(|e| e.to_string());
        assert!(error.is_some_and(|e| e.contains("\"(q\"") && !e.contains('\n')));
    }
}
