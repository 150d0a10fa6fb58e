//! A long document in pieces that a model can read, each beginning with the end of the one before.

use store::chunk::Chunk;

/// How much of a piece stands in the next one too, in percent (generation 3.1).
const OVERLAP_PERCENT: u32 = 5;

/// A run of parents: places from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Cuts parents of these sizes in tokens into spans of at most `most` tokens. A parent that is larger is a span of its
/// own: its text is cut where it is read.
pub(super) fn spans(tokens: &[u32], most: u32) -> Vec<Span> {
    let overlap = u64::from(most) * u64::from(OVERLAP_PERCENT) / 100;
    let mut spans: Vec<Span> = Vec::new();
    let mut start = 0;
    while start < tokens.len() {
        let mut end = start;
        let mut sum = 0u64;
        while end < tokens.len() && (end == start || sum + u64::from(tokens[end]) <= u64::from(most)) {
            sum += u64::from(tokens[end]);
            end += 1;
        }
        spans.push(Span { start, end });
        if end == tokens.len() {
            break;
        }
        let mut next = end;
        let mut repeated = 0;
        while next > start + 1 && repeated + u64::from(tokens[next - 1]) <= overlap {
            next -= 1;
            repeated += u64::from(tokens[next]);
        }
        start = next;
    }
    spans
}

/// The text of parents with their headings, each heading once.
pub(super) fn joined(parents: &[Chunk]) -> String {
    let mut text = String::new();
    let mut above: &[String] = &[];
    for chunk in parents {
        let path = chunk.heading_path.as_slice();
        let same = path.iter().zip(above).take_while(|(new, old)| new == old).count();
        for (depth, heading) in path.iter().enumerate().skip(same) {
            text.push_str(&"#".repeat((depth + 1).min(6)));
            text.push(' ');
            text.push_str(heading);
            text.push_str("\n\n");
        }
        text.push_str(chunk.text.trim());
        text.push_str("\n\n");
        above = path;
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cover_everything_and_overlap() {
        let check = |tokens: &[u32], most: u32, expected: &[(usize, usize)]| {
            let found: Vec<(usize, usize)> = spans(tokens, most)
                .iter()
                .map(|span| (span.start, span.end))
                .collect();
            assert_eq!(found, expected, "{tokens:?} by {most}");
        };
        check(&[], 100, &[]);
        check(&[10, 10], 100, &[(0, 2)]);
        check(&[40, 40, 40, 40], 100, &[(0, 2), (2, 4)]);
        // 5 tokens of 100 fit into the overlap.
        check(&[50, 45, 5, 50, 45], 100, &[(0, 3), (2, 5)]);
        check(&[300, 20], 100, &[(0, 1), (1, 2)]);
    }
}
