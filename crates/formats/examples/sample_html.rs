//! Writes sample courses into a folder, in every format: `cargo run -p formats --example sample_html --features sample -- FOLDER`.

use std::io::Write as _;
use std::path::PathBuf;

use formats::export::sample::Sample;
use formats::export::{Format, export};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".to_owned()));
    std::fs::create_dir_all(&folder)?;
    for sample in [Sample::english(), Sample::russian(), Sample::hostile()] {
        for &format in Format::ALL {
            let file = export(format, &sample.view())?;
            let path = folder.join(&file.file_name);
            std::fs::write(&path, &file.bytes)?;
            writeln!(std::io::stdout(), "{}", path.display())?;
        }
    }
    Ok(())
}
