//! What a language model reads around the visual tokens.

use crate::language::family::LanguageConfig;
use crate::language::llama::chat;
use crate::language::text::Text;
use signclip_common::{Error, Result};

/// Ids before the visual tokens and behind them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prompt {
    pub before: Vec<i64>,
    pub behind: Vec<i64>,
}

impl Prompt {
    /// `prompt` behind the visual tokens, or before them where it comes `first`; the begin token of the family before all;
    /// with `chat`, both as the turn of a user. Errors: a model without a chat format.
    pub fn new(
        config: &LanguageConfig,
        text: &Text,
        prompt: &str,
        first: bool,
        with_chat: bool,
    ) -> Result<Self> {
        let (mut before, mut behind) = (Vec::new(), text.encode_prompt(prompt)?);
        if first {
            std::mem::swap(&mut before, &mut behind);
        }
        match config {
            LanguageConfig::T5(_) if with_chat => {
                let what = "text.chat is set, and the language model is a T5, which has no chat format";
                return Err(Error::usage(
                    what,
                    "leave it out, or take an instruct model of the Llama family",
                ));
            }
            LanguageConfig::T5(_) => {}
            LanguageConfig::Llama(llama) => {
                if with_chat {
                    before = [text.encode_prompt(chat::USER)?, before].concat();
                    behind.extend(text.encode_prompt(chat::ASSISTANT)?);
                }
                before.insert(0, llama.bos_token_id);
            }
        }
        Ok(Self { before, behind })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::llama::LlamaConfig;
    use crate::language::t5::{T5Config, word_tokenizer};
    use std::path::Path;

    /// By hand: the begin token first, the end token of T5's tokenizer behind its prompt.
    #[test]
    fn orders() -> Result<()> {
        let json = word_tokenizer(["say it"].into_iter());
        let parsed = || Text::parse(json.as_bytes(), Path::new("tokenizer.json"));
        let text = parsed()?;
        let t5 = LanguageConfig::T5(T5Config::tiny(5));
        let of =
            |config: &LanguageConfig, text: &Text, first| Prompt::new(config, text, "say it", first, false);
        assert_eq!(of(&t5, &text, false)?, Prompt { before: vec![], behind: vec![4, 3, 1] });
        assert_eq!(of(&t5, &text, true)?, Prompt { before: vec![4, 3, 1], behind: vec![] });
        let error = Prompt::new(&t5, &text, "", false, true).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("text.chat") && error.contains("T5"), "{error}");
        let llama = LanguageConfig::Llama(LlamaConfig { bos_token_id: 2, ..LlamaConfig::tiny(5) });
        let text = parsed()?.ending_with(1);
        assert_eq!(of(&llama, &text, false)?, Prompt { before: vec![2], behind: vec![4, 3] });
        assert_eq!(of(&llama, &text, true)?, Prompt { before: vec![2, 4, 3], behind: vec![] });
        Ok(())
    }
}
