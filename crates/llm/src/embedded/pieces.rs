//! Cutting text into the pieces of the embedding model: the likeliest sequence (Kudo 2018, unigram model).

use std::collections::HashMap;

use super::container::{Container, SpecialTokens};

/// Stands for the space before a word.
const WORD_MARK: char = '\u{2581}';
/// How much less likely than the rarest piece an unknown character is, as a logarithm (`SentencePiece`).
const UNKNOWN_PENALTY: f32 = 10.0;

/// Cuts texts into tokens.
pub(super) struct Pieces {
    tokens: HashMap<Box<str>, (u32, f32)>,
    normal_forms: HashMap<char, String>,
    special: SpecialTokens,
    longest: usize,
    unknown_score: f32,
}

impl Pieces {
    /// Takes the vocabulary out of the container.
    pub(super) fn new(container: &mut Container) -> Self {
        let pieces = std::mem::take(&mut container.pieces);
        let rarest = pieces
            .iter()
            .map(|(_, score)| *score)
            .fold(f32::INFINITY, f32::min);
        let longest = pieces
            .iter()
            .map(|(piece, _)| piece.len())
            .max()
            .unwrap_or_default();
        let mut tokens = HashMap::with_capacity(pieces.len());
        for (token, (piece, score)) in (0_u32..).zip(pieces) {
            if token != container.special.unknown && !piece.is_empty() {
                tokens.entry(piece.into_boxed_str()).or_insert((token, score));
            }
        }
        Self {
            tokens,
            normal_forms: std::mem::take(&mut container.normal_forms),
            special: container.special,
            longest,
            unknown_score: rarest - UNKNOWN_PENALTY,
        }
    }

    /// The tokens of `text` between the marks of beginning and end, at most `limit` in all.
    pub(super) fn encode(&self, text: &str, limit: usize) -> Vec<u32> {
        let mut tokens = vec![self.special.begin];
        tokens.extend(self.cut(&self.normalise(text)));
        tokens.truncate(limit.saturating_sub(1));
        tokens.push(self.special.end);
        tokens
    }

    /// Normal forms of the characters, single spaces, and a mark before each word.
    fn normalise(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + 8);
        let mut push = |letter: char| {
            if letter != ' ' {
                if out.is_empty() {
                    out.push(WORD_MARK);
                }
                out.push(letter);
            } else if !out.ends_with(WORD_MARK) {
                out.push(WORD_MARK);
            }
        };
        for letter in text.chars() {
            match self.normal_forms.get(&letter) {
                Some(form) => form.chars().for_each(&mut push),
                None => push(letter),
            }
        }
        out
    }

    fn cut(&self, text: &str) -> Vec<u32> {
        // For every end of a character: the best score so far, where the last piece began, and its token.
        let mut best: Vec<(f32, usize, u32)> =
            vec![(f32::NEG_INFINITY, 0, self.special.unknown); text.len() + 1];
        best[0].0 = 0.0;
        for (start, letter) in text.char_indices() {
            let score = best[start].0;
            let letter_end = start + letter.len_utf8();
            for length in letter.len_utf8()..=self.longest.min(text.len() - start) {
                let Some(piece) = text.get(start..start + length) else {
                    continue;
                };
                if let Some((token, own)) = self.tokens.get(piece)
                    && score + own > best[start + length].0
                {
                    best[start + length] = (score + own, start, *token);
                }
            }
            if score + self.unknown_score > best[letter_end].0 {
                best[letter_end] = (score + self.unknown_score, start, self.special.unknown);
            }
        }
        let mut tokens = Vec::new();
        let mut end = text.len();
        while end > 0 {
            let (_, start, token) = best[end];
            // Neighbouring unknown characters are one unknown token.
            if token != self.special.unknown || tokens.last() != Some(&token) {
                tokens.push(token);
            }
            end = start;
        }
        tokens.reverse();
        tokens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces() -> Pieces {
        let list = [
            ("▁", -3.0),
            ("▁ab", -2.0),
            ("ab", -2.5),
            ("a", -4.0),
            ("b", -4.0),
            ("▁a", -3.5),
            ("c", -6.0),
        ];
        let tokens = (10_u32..)
            .zip(list)
            .map(|(token, (piece, score))| (piece.into(), (token, score)))
            .collect();
        Pieces {
            tokens,
            normal_forms: HashMap::from([
                ('Ａ', "a".to_owned()),
                ('\n', " ".to_owned()),
                ('\u{AD}', String::new()),
            ]),
            special: SpecialTokens {
                begin: 0,
                end: 2,
                unknown: 3,
            },
            longest: 5,
            unknown_score: -16.0,
        }
    }

    #[test]
    fn the_likeliest_pieces_win() {
        let check = |text, expected: &[u32]| assert_eq!(pieces().encode(text, 512), expected, "{text}");
        check("ab", &[0, 11, 2]);
        check("ab ab", &[0, 11, 11, 2]);
        check("  ab \n ab", &[0, 11, 11, 2]);
        check("Ａb", &[0, 11, 2]);
        check("a\u{AD}b", &[0, 11, 2]);
        check("abc", &[0, 11, 16, 2]);
        check("xyab", &[0, 10, 3, 12, 2]);
        check("", &[0, 2]);
    }

    #[test]
    fn long_texts_are_cut_and_still_end_properly() {
        let tokens = pieces().encode(&"ab ".repeat(1000), 512);
        assert_eq!((tokens.len(), tokens[0], tokens[511]), (512, 0, 2));
    }
}
