//! Tokens: from text and back, as bytes for the grammar, and the model's way to write a conversation.

use std::sync::Arc;

use candle_core::quantized::gguf_file::Content;
use candle_core::quantized::tokenizer::TokenizerFromGguf;
use tokenizers::Tokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use toktrie::{TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use super::EmbeddedError;
use super::network::{text, whole};
use crate::request::{Message, Role};

/// The type that GGUF gives to tokens which stand for text (and not for control).
const NORMAL: i32 = 1;
/// Names of tokens that end an answer, besides the one that the header names.
const END_NAMES: [&str; 3] = ["<|im_end|>", "<|endoftext|>", "<|eot_id|>"];

/// The vocabulary of a model.
pub(super) struct Vocabulary {
    tokenizer: Tokenizer,
    environment: TokEnv,
    templates: minijinja::Environment<'static>,
    ends: Vec<TokenId>,
}

impl Vocabulary {
    /// Reads it from the header of a GGUF file; `size` is the number of logits.
    pub(super) fn load(content: &Content, size: usize) -> Result<Self, EmbeddedError> {
        let mut tokenizer = Tokenizer::from_gguf(content)?;
        mend_pre_tokenizer(content, &mut tokenizer);
        let end = u32::try_from(whole(content, "tokenizer.ggml.eos_token_id")?).unwrap_or_default();
        let trie = trie(content, size, end)?;
        let mut ends = vec![end];
        ends.extend(END_NAMES.iter().filter_map(|name| tokenizer.token_to_id(name)));
        ends.sort_unstable();
        ends.dedup();
        let templates = templates(text(content, "tokenizer.chat_template")?)?;
        let environment: TokEnv = Arc::new(Environment {
            tokenizer: tokenizer.clone(),
            trie,
        });
        Ok(Self {
            tokenizer,
            environment,
            templates,
            ends,
        })
    }

    /// What llguidance knows of the tokens.
    pub(super) const fn environment(&self) -> &TokEnv {
        &self.environment
    }

    /// The bytes of a token.
    pub(super) fn bytes(&self, token: TokenId) -> &[u8] {
        self.environment.tok_trie().token(token)
    }

    /// Whether `token` ends an answer.
    pub(super) fn ends(&self, token: TokenId) -> bool {
        self.ends.contains(&token)
    }

    /// Whether `token` is a mark of the conversation's form and not text.
    pub(super) fn is_control(&self, token: TokenId) -> bool {
        self.bytes(token).first() == Some(&TokTrie::SPECIAL_TOKEN_MARKER)
    }

    /// All tokens that stand for text.
    pub(super) fn text_tokens(&self) -> impl Iterator<Item = TokenId> {
        let count = u32::try_from(self.environment.tok_trie().vocab_size()).unwrap_or(u32::MAX);
        (0..count).filter(|token| !self.bytes(*token).is_empty() && !self.is_control(*token))
    }

    /// The tokens of `text`; names of control tokens are recognised.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<TokenId>, EmbeddedError> {
        let encoding = self
            .tokenizer
            .encode_fast(text, false)
            .map_err(|error| EmbeddedError::Tokenizer(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The conversation as the model was trained to read it, ready for its answer.
    pub(super) fn render(&self, messages: &[Message]) -> Result<String, EmbeddedError> {
        let messages: Vec<minijinja::Value> = messages
            .iter()
            .map(|message| {
                let role = match message.role {
                    Role::System => "system",
                    Role::User => "user",
                    Role::Assistant => "assistant",
                };
                let content = without_control_names(&message.content);
                minijinja::Value::from_pairs([("role", role.to_owned()), ("content", content)])
            })
            .collect();
        let template = self.templates.get_template("chat")?;
        Ok(template.render(minijinja::context! { messages, add_generation_prompt => true })?)
    }
}

/// What people wrote must not look like the end of their message.
fn without_control_names(text: &str) -> String {
    text.replace("<|", "< |")
}

struct Environment {
    tokenizer: Tokenizer,
    trie: TokTrie,
}

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.trie.tokenize_with_greedy_fallback(bytes, |text| {
            self.tokenizer.encode_fast(text, false).map_or_else(
                |_| self.trie.greedy_tokenize(text.as_bytes()),
                |encoding| encoding.get_ids().to_vec(),
            )
        })
    }
}

/// Candle's loader adds a space before the text where it does not know the pre-tokenizer, which is wrong for
/// every model with byte-level tokens, and does not split digits for `SmolLM`.
fn mend_pre_tokenizer(content: &Content, tokenizer: &mut Tokenizer) {
    match text(content, "tokenizer.ggml.pre").unwrap_or_default() {
        "qwen2" | "llama3" | "smaug-bpe" | "lfm2" => {}
        "smollm" => {
            let parts = vec![Digits::new(true).into(), ByteLevel::new(false, true, true).into()];
            tokenizer.with_pre_tokenizer(Some(Sequence::new(parts)));
        }
        _ => {
            tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
        }
    }
}

fn trie(content: &Content, size: usize, end: TokenId) -> Result<TokTrie, EmbeddedError> {
    let missing = |key: &str| EmbeddedError::MissingPart(key.to_owned());
    let get = |key: &str| content.metadata.get(key).ok_or_else(|| missing(key));
    let names = get("tokenizer.ggml.tokens")?.to_vec()?;
    let types = get("tokenizer.ggml.token_type")?.to_vec()?;
    let mut words: Vec<Vec<u8>> = Vec::with_capacity(size);
    for (name, kind) in names.iter().zip(types) {
        let name = name.to_string()?;
        if kind.to_i32()? == NORMAL {
            words.push(
                name.chars()
                    .map(byte_of)
                    .collect::<Option<_>>()
                    .unwrap_or_default(),
            );
        } else {
            words.push(marked(name));
        }
    }
    for index in words.len()..size {
        words.push(marked(&format!("<[{index}]>")));
    }
    let count =
        u32::try_from(words.len()).map_err(|_| EmbeddedError::Damaged("the vocabulary is too large"))?;
    let mut info = TokRxInfo::new(count, end);
    info.tok_end_of_turn = Some(end);
    Ok(TokTrie::from(&info, &words))
}

fn marked(name: &str) -> Vec<u8> {
    let mut bytes = vec![TokTrie::SPECIAL_TOKEN_MARKER];
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

/// The byte that GPT-2's vocabularies write as `letter`: printable bytes stand for themselves, the others are
/// moved to U+0100 and on.
fn byte_of(letter: char) -> Option<u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    if let Ok(byte) = u8::try_from(u32::from(letter)) {
        return printable(byte).then_some(byte);
    }
    let index = u32::from(letter).checked_sub(0x100)?;
    (0..=u8::MAX).filter(|byte| !printable(*byte)).nth(index as usize)
}

fn templates(source: &str) -> Result<minijinja::Environment<'static>, EmbeddedError> {
    let mut environment = minijinja::Environment::new();
    environment.add_function(
        "raise_exception",
        |message: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(
                minijinja::ErrorKind::InvalidOperation,
                message,
            ))
        },
    );
    // The few methods of Python's strings that templates use.
    environment.set_unknown_method_callback(|_, value, method, _| match (value.as_str(), method) {
        (Some(text), "strip") => Ok(text.trim().into()),
        (Some(text), "lstrip") => Ok(text.trim_start().into()),
        (Some(text), "rstrip") => Ok(text.trim_end().into()),
        _ => Err(minijinja::ErrorKind::UnknownMethod.into()),
    });
    environment.add_template_owned("chat", source.to_owned())?;
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_from_the_letters_of_the_vocabulary() {
        assert_eq!(byte_of('A'), Some(b'A'));
        assert_eq!(byte_of('Ġ'), Some(b' '));
        assert_eq!(byte_of('Ċ'), Some(b'\n'));
        assert_eq!(byte_of('é'), Some(0xE9));
        assert_eq!(byte_of('中'), None);
        let all: std::collections::BTreeSet<u8> = (0..0x200)
            .filter_map(char::from_u32)
            .filter_map(byte_of)
            .collect();
        assert_eq!(all.len(), 256);
    }
}
