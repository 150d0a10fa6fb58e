//! Tables as Markdown.

/// A table whose first row is its head, or `None` if there is nothing in it. Rows need not be equally long.
pub(super) fn markdown(rows: &[Vec<String>]) -> Option<String> {
    let mut lines = Vec::with_capacity(rows.len() + 1);
    for row in rows {
        if row.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        let cells: Vec<String> = row.iter().map(|cell| cell_text(cell)).collect();
        lines.push(format!("| {} |", cells.join(" | ")));
        if lines.len() == 1 {
            lines.push(format!("|{}", " --- |".repeat(cells.len())));
        }
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn cell_text(cell: &str) -> String {
    let words: Vec<&str> = cell.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_markdown() {
        let check = |rows: &[&[&str]], expected: Option<&str>| {
            let rows: Vec<Vec<String>> = rows
                .iter()
                .map(|row| row.iter().map(ToString::to_string).collect())
                .collect();
            assert_eq!(markdown(&rows).as_deref(), expected);
        };
        check(
            &[&["Цена", "Спрос"], &[" ", ""], &["1\n2", "a|b"]],
            Some("| Цена | Спрос |\n| --- | --- |\n| 1 2 | a\\|b |"),
        );
        check(&[&["", " "]], None);
        check(&[], None);
    }
}
