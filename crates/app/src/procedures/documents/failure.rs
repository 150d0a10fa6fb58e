//! Why a document could not be read, in the caller's language. What is stored is English; its code tells the rest.

use crate::procedures::words::Speech;

/// What is wrong with a document and what to do. `stored` is said to those who do not ask for Russian, and where a
/// release knows no Russian sentence for `code`.
pub(super) fn message(filename: &str, code: &str, stored: String, speech: Speech) -> String {
    match in_russian(code) {
        Some(sentence) if speech == Speech::Russian => format!("{filename}: {sentence}"),
        _ => stored,
    }
}

/// The sentence for a stable word.
fn in_russian(code: &str) -> Option<&'static str> {
    Some(match code {
        "encrypted" => "файл защищён: сохраните копию без пароля и без защиты от копирования и загрузите её",
        "malformed" => {
            "файл повреждён или не того типа, что в его имени: откройте его, сохраните заново и загрузите"
        }
        "too_large" => "файл слишком велик: разделите его на несколько",
        "no_text" => "в файле нет текста: загрузите файл с текстом или удалите этот",
        "needs_ocr" => {
            "в файле есть страницы без текста, который можно прочитать: сначала распознайте их (OCR) и загрузите результат"
        }
        "unsupported" => {
            "файлы этого типа не читаются: сохраните его как PDF, DOCX, PPTX, HTML, EPUB, Markdown или текст"
        }
        "too_slow" => {
            "чтение заняло слишком много времени: разделите файл или сохраните его заново в программе, в которой он сделан"
        }
        "file_missing" => "содержимого файла больше нет в хранилище: загрузите его ещё раз",
        "worker_lost" => {
            "чтение несколько раз прерывалось: разделите файл или сохраните его заново и загрузите"
        }
        "no_reader" => "здесь документы не читаются: обратитесь к администратору",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_is_told_in_the_callers_language() {
        let check = |code: &str, speech: Speech, expected: &str| {
            let stored = "a.pdf: it has no text".to_owned();
            assert_eq!(message("a.pdf", code, stored, speech), expected);
        };
        check("no_text", Speech::English, "a.pdf: it has no text");
        check("no_text", Speech::Unsaid, "a.pdf: it has no text");
        check(
            "no_text",
            Speech::Russian,
            "a.pdf: в файле нет текста: загрузите файл с текстом или удалите этот",
        );
        check("of_a_later_release", Speech::Russian, "a.pdf: it has no text");
    }
}
