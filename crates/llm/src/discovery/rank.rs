//! Which of a server's models is asked first, told by their names.
//!
//! The rule: the largest number of parameters first; at equal size, general models before those for code, mathematics
//! or pictures, models that follow instructions before those that only continue texts; models of unknown size last;
//! what is still equal goes by the alphabet. Models that write no texts, or elsewhere, are never chosen.

use std::cmp::Ordering;

use super::{Fitness, LocalModel};

/// A larger number of parameters, in billions, is no size but a slip of the pen.
const LARGEST: f64 = 10_000.0;

/// Parts of names of models that write no texts: they embed, rank, hear, speak, paint or judge.
const SILENT_PARTS: [&str; 12] = [
    "embed",
    "rerank",
    "whisper",
    "minilm",
    "paraphrase",
    "mmproj",
    "diffusion",
    "moderation",
    "guard",
    "shieldgemma",
    "colbert",
    "kokoro",
];
/// Words of names, of the same kind of models.
const SILENT_WORDS: [&str; 14] = [
    "bge", "e5", "gte", "tts", "xtts", "outetts", "stt", "asr", "clip", "siglip", "flux", "sdxl", "ocr",
    "reward",
];
/// Parts of names of models that are made for code, mathematics or pictures.
const SPECIAL_PARTS: [&str; 14] = [
    "code",
    "codestral",
    "devstral",
    "sql",
    "math",
    "llava",
    "vision",
    "vlm",
    "pixtral",
    "moondream",
    "minicpm-v",
    "omni",
    "audio",
    "translate",
];
/// Words that say that a model follows instructions.
const INSTRUCTED_WORDS: [&str; 6] = ["instruct", "chat", "it", "inst", "assistant", "thinking"];
/// Words that say that a model only continues texts.
const BASE_WORDS: [&str; 5] = ["base", "text", "pt", "pretrained", "foundation"];

/// The number of parameters that a name tells, in billions: 14 of `qwen3:14b`, 56 of `mixtral:8x7b`, 30 of
/// `qwen3-30b-a3b`, whose `a3b` are those at work at a time. The last part of a path that tells one counts.
pub(super) fn size_of(id: &str) -> Option<f64> {
    let id = id.to_ascii_lowercase();
    id.rsplit(['/', '\\']).find_map(largest_in)
}

/// What a model is good for, by its name.
pub(super) fn fitness_of(id: &str) -> Fitness {
    let name = name_of(id);
    if name.ends_with(":cloud") || name.ends_with("-cloud") {
        return Fitness::Elsewhere;
    }
    let writes_nothing = SILENT_PARTS.iter().any(|part| name.contains(part))
        || words_of(&name).any(|word| SILENT_WORDS.contains(&word));
    if writes_nothing {
        Fitness::None
    } else {
        Fitness::Writes
    }
}

/// The better one first.
pub(super) fn order(a: &LocalModel, b: &LocalModel) -> Ordering {
    let size = |model: &LocalModel| model.billions.unwrap_or(-1.0);
    a.fitness
        .cmp(&b.fitness)
        .then_with(|| size(b).total_cmp(&size(a)))
        .then_with(|| kind_of(&a.id).cmp(&kind_of(&b.id)))
        .then_with(|| a.id.cmp(&b.id))
}

/// What a model is made for, as its name tells; the better one is smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Instructed,
    General,
    Special,
    Base,
}

fn kind_of(id: &str) -> Kind {
    let name = name_of(id);
    let has_word = |wanted: &[&str]| words_of(&name).any(|word| wanted.contains(&word));
    if has_word(&BASE_WORDS) {
        return Kind::Base;
    }
    // `qwen2.5vl`, `internvl3`, `qwen2-vl`: pictures.
    let sees = words_of(&name).any(|word| {
        word.trim_end_matches(|character: char| character.is_ascii_digit())
            .ends_with("vl")
    });
    if sees || SPECIAL_PARTS.iter().any(|part| name.contains(part)) {
        return Kind::Special;
    }
    if has_word(&INSTRUCTED_WORDS) {
        Kind::Instructed
    } else {
        Kind::General
    }
}

/// The id without what stands before it: a path, an organization.
fn name_of(id: &str) -> String {
    let name = id.rsplit(['/', '\\']).next().unwrap_or(id);
    name.to_ascii_lowercase()
}

fn words_of(name: &str) -> impl Iterator<Item = &str> {
    name.split(|character: char| !character.is_ascii_alphanumeric())
}

/// The largest size that stands in `text`, which is in small letters.
fn largest_in(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    let sizes = (0..bytes.len()).filter_map(|end| {
        let ends = bytes
            .get(end + 1)
            .is_none_or(|next| !next.is_ascii_alphanumeric());
        ends.then(|| size_before(text, end)).flatten()
    });
    sizes
        .filter(|billions| *billions > 0.0 && *billions <= LARGEST)
        .max_by(f64::total_cmp)
}

/// The size whose unit stands at `unit`.
fn size_before(text: &str, unit: usize) -> Option<f64> {
    let billions = match text.as_bytes()[unit] {
        b'm' => 0.001,
        b'b' => 1.0,
        b't' => 1000.0,
        _ => return None,
    };
    let (before, number) = number_at_the_end(&text[..unit])?;
    let Some(head) = before.strip_suffix('x') else {
        // `a3b` are the parameters at work at a time, which say nothing of how much a model knows.
        let active = before.ends_with('a')
            && !before[..before.len() - 1].ends_with(|c: char| c.is_ascii_alphanumeric());
        return (!active).then_some(number * billions);
    };
    // `8x7b`: eight experts.
    let experts = number_at_the_end(head).map_or(1.0, |(_, experts)| experts);
    Some(experts * number * billions)
}

fn number_at_the_end(text: &str) -> Option<(&str, f64)> {
    let digits = |character: char| character.is_ascii_digit() || character == '.';
    let before = text.trim_end_matches(digits);
    let number = text[before.len()..].trim_start_matches('.').parse().ok()?;
    Some((before, number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_sizes_and_what_models_are_for() {
        use Kind::{Base, General, Instructed, Special};
        let check = |id: &str, billions: Option<f64>, kind: Kind| {
            assert_eq!(size_of(id), billions, "{id}");
            assert_eq!(fitness_of(id), Fitness::Writes, "{id}");
            assert_eq!(kind_of(id), kind, "{id}");
        };
        // Ollama.
        check("qwen3:14b", Some(14.0), General);
        check("qwen3:30b-a3b", Some(30.0), General);
        check("qwen3:235b-a22b-instruct-2507-q4_K_M", Some(235.0), Instructed);
        check("llama3.1:8b-instruct-q4_K_M", Some(8.0), Instructed);
        check("llama3:8b-text", Some(8.0), Base);
        check("llama3.3:latest", None, General);
        check("mixtral:8x7b", Some(56.0), General);
        check("mixtral:8x22b-instruct", Some(176.0), Instructed);
        check("llama4:16x17b", Some(272.0), General);
        check("smollm2:135m", Some(0.135), General);
        check("qwen2.5-coder:1.5b-base", Some(1.5), Base);
        check("qwen2.5-coder:32b", Some(32.0), Special);
        check("qwen2.5vl:7b", Some(7.0), Special);
        check("llama3.2-vision:11b", Some(11.0), Special);
        check("minicpm-v:8b", Some(8.0), Special);
        check("command-r7b:latest", Some(7.0), General);
        check("gpt-oss:20b", Some(20.0), General);
        check("gemma3n:e4b", Some(4.0), General);
        check("gemma3:27b-it-qat", Some(27.0), Instructed);
        check("phi4-mini:3.8b", Some(3.8), General);
        check("mistral-small3.2:24b", Some(24.0), General);
        check(
            "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M",
            Some(3.0),
            Instructed,
        );
        // LM Studio.
        check("qwen2.5-14b-instruct-1m", Some(14.0), Instructed);
        check("meta-llama-3.1-8b-instruct", Some(8.0), Instructed);
        check("openai/gpt-oss-120b", Some(120.0), General);
        check("qwen/qwen3-30b-a3b-2507", Some(30.0), General);
        check("mistralai/devstral-small-2507", None, Special);
        check("deepseek-r1-distill-qwen-32b", Some(32.0), General);
        check("granite-3.1-1b-a400m-instruct", Some(1.0), Instructed);
        // llama.cpp's server.
        check("/models/Qwen3-14B-Q4_K_M.gguf", Some(14.0), General);
        check(
            "/srv/70b/Meta-Llama-3.1-8B-Instruct-Q8_0.gguf",
            Some(8.0),
            Instructed,
        );
        check("/models/Qwen3-32B/model.gguf", Some(32.0), General);
        check("C:\\models\\gemma-3-12b-it-Q4_0.gguf", Some(12.0), Instructed);
        check("llama-2-13b-chat.Q4_K_M.gguf", Some(13.0), Instructed);
        check("ggml-org/gemma-3-4b-it-GGUF", Some(4.0), Instructed);
        // vLLM.
        check("Qwen/Qwen3-14B-AWQ", Some(14.0), General);
        check("Qwen/Qwen3-14B-Base", Some(14.0), Base);
        check("mistralai/Mixtral-8x7B-Instruct-v0.1", Some(56.0), Instructed);
        check("Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", Some(235.0), Instructed);
        check("Qwen/Qwen2.5-Math-72B-Instruct", Some(72.0), Special);
        check(
            "meta-llama/Llama-4-Scout-17B-16E-Instruct",
            Some(17.0),
            Instructed,
        );
        check("mattshumer/Reflection-Llama-3.1-70B", Some(70.0), General);
        check("moonshotai/Kimi-K2-1T", Some(1000.0), General);
        check("scripted", None, General);
        check("a-999999999b", None, General);
        check("😀-7b", Some(7.0), General);
    }

    #[test]
    fn models_that_write_no_texts_are_left_out() {
        let check = |id: &str, expected: Fitness| assert_eq!(fitness_of(id), expected, "{id}");
        for id in [
            "nomic-embed-text:latest",
            "mxbai-embed-large",
            "text-embedding-nomic-embed-text-v1.5",
            "text-embedding-bge-m3",
            "bge-m3:567m",
            "BAAI/bge-reranker-v2-m3",
            "intfloat/multilingual-e5-large",
            "intfloat/e5-mistral-7b-instruct",
            "all-minilm:22m",
            "paraphrase-multilingual:latest",
            "embeddinggemma:300m",
            "Qwen/Qwen3-Embedding-8B",
            "openai/whisper-large-v3",
            "openai/clip-vit-large-patch14",
            "canopylabs/orpheus-3b-0.1-ft-tts",
            "llama-guard3:8b",
            "shieldgemma:27b",
        ] {
            check(id, Fitness::None);
        }
        check("gpt-oss:120b-cloud", Fitness::Elsewhere);
        check("qwen3-coder:480b-cloud", Fitness::Elsewhere);
        check("gemma4:cloud", Fitness::Elsewhere);
        check("whisperer/qwen3:8b", Fitness::Writes);
    }

    #[test]
    fn best_model_stands_first() {
        let check = |ids: &[&str], expected: &[&str]| {
            let mut models: Vec<_> = ids.iter().map(|id| LocalModel::named(id)).collect();
            models.sort_by(order);
            let sorted: Vec<_> = models.iter().map(|model| model.id.as_str()).collect();
            assert_eq!(sorted, expected);
        };
        check(&["qwen3:8b", "qwen3:14b"], &["qwen3:14b", "qwen3:8b"]);
        check(
            &["mistral:latest", "smollm2:135m"],
            &["smollm2:135m", "mistral:latest"],
        );
        check(
            &[
                "a:14b-base",
                "a-coder:14b-instruct",
                "a:14b",
                "a-vl:14b",
                "a:14b-instruct",
            ],
            &[
                "a:14b-instruct",
                "a:14b",
                "a-coder:14b-instruct",
                "a-vl:14b",
                "a:14b-base",
            ],
        );
        check(&["zephyr:7b", "mistral:7b"], &["mistral:7b", "zephyr:7b"]);
        check(
            &["gpt-oss:120b-cloud", "bge-m3:567m", "qwen3:4b"],
            &["qwen3:4b", "gpt-oss:120b-cloud", "bge-m3:567m"],
        );
        check(&["qwen3:30b-a3b", "qwen3:32b"], &["qwen3:32b", "qwen3:30b-a3b"]);
    }
}
