//! Prints how fast the embedded model runs here: `cargo run --release -p llm --example embedded_speed -- MODEL.gguf`.

use std::io::Write;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = PathBuf::from(
        std::env::args()
            .nth(1)
            .ok_or("the path of a GGUF file is missing")?,
    );
    let tokens = std::env::args().nth(2).map_or(Ok(64), |text| text.parse())?;
    let mut out = std::io::stdout().lock();
    for slots in [1, 2, 4, 8] {
        let figures = llm::embedded::bench::bench_decode(&path, slots, tokens)?;
        writeln!(out, "{figures:.1?}")?;
    }
    Ok(())
}
