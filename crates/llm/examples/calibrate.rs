//! Measures the cosines of the calibration's pairs, prints the table with them, and the fitted constants on standard
//! error: `cargo run --release -p llm --example calibrate -- e5-small-q4.bin > crates/llm/data/calibration.tsv`.

use std::io::Write;

use llm::calibration::{Lesson, fit, pairs, passes};
use llm::embedded::EmbeddedEmbedder;
use llm::provider::{Embedder, EmbeddingKind};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args()
        .nth(1)
        .ok_or("the path of the embedding model is missing")?;
    let embedder = EmbeddedEmbedder::new(path, "multilingual-e5-small-q4");
    let mut pairs = pairs();
    let texts: Vec<String> = pairs
        .iter()
        .flat_map(|pair| [pair.left.clone(), pair.right.clone()])
        .collect();
    embedder.embed(&texts[..1], EmbeddingKind::Query).await?;
    let begin = std::time::Instant::now();
    // Both sides as queries: the comparison is symmetric.
    let vectors = embedder.embed(&texts, EmbeddingKind::Query).await?;
    let speed = texts.len() as f64 / begin.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    writeln!(out, "language\tlesson\tcosine\tleft\tright")?;
    for (pair, vectors) in pairs.iter_mut().zip(vectors.chunks_exact(2)) {
        let cosine: f32 = vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a * b).sum();
        pair.cosine = (cosine * 10_000.0).round() / 10_000.0;
        let language = if pair.is_russian { "ru" } else { "en" };
        let lesson = match pair.lesson {
            Lesson::Related => "related",
            Lesson::Unrelated => "unrelated",
            Lesson::Duplicate => "duplicate",
            Lesson::Distinct => "distinct",
        };
        writeln!(
            out,
            "{language}\t{lesson}\t{:.4}\t{}\t{}",
            pair.cosine, pair.left, pair.right
        )?;
    }
    let mut err = std::io::stderr().lock();
    writeln!(err, "{speed:.1} texts a second")?;
    let calibration = fit(&pairs).ok_or("the model does not tell the pairs apart")?;
    writeln!(err, "{calibration:?}")?;
    for is_russian in [false, true] {
        for lesson in [
            Lesson::Related,
            Lesson::Unrelated,
            Lesson::Duplicate,
            Lesson::Distinct,
        ] {
            let of = pairs
                .iter()
                .filter(|pair| pair.is_russian == is_russian && pair.lesson == lesson);
            let cosines: Vec<f32> = of.clone().map(|pair| pair.cosine).collect();
            let (low, high) = cosines.iter().fold((1.0_f32, 0.0_f32), |(low, high), cosine| {
                (low.min(*cosine), high.max(*cosine))
            });
            let mean = cosines.iter().sum::<f32>() / cosines.len() as f32;
            let passed = of.filter(|pair| passes(&calibration, pair)).count();
            writeln!(
                err,
                "russian {is_russian} {lesson:?}: {low:.4} to {high:.4}, mean {mean:.4}, {passed} of {} pass",
                cosines.len()
            )?;
        }
    }
    Ok(())
}
