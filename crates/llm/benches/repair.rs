//! How fast answers are repaired, by layer. `cargo bench -p llm --no-default-features --bench repair`

#[path = "../tests/repair_corpus/documents.rs"]
mod documents;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use llm::repair::Repairer;

use crate::documents::{Document, documents};

fn main() {
    divan::main();
}

fn bench(bencher: Bencher, damage: fn(&Document) -> String) {
    let cases: Vec<(Repairer, String)> = documents()
        .iter()
        .map(|document| {
            (
                Repairer::new(&document.schema).expect(&document.name),
                damage(document),
            )
        })
        .collect();
    let bytes: usize = cases.iter().map(|(_, text)| text.len()).sum();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| {
        for (repairer, text) in &cases {
            black_box(repairer.repair(black_box(text)).is_ok());
        }
    });
}

#[divan::bench]
fn direct(bencher: Bencher) {
    bench(bencher, Document::pretty);
}

#[divan::bench]
fn extracted(bencher: Bencher) {
    bench(bencher, |document| {
        format!("Here you are:\n```json\n{}\n```\nEnjoy.", document.pretty())
    });
}

#[divan::bench]
fn structural(bencher: Bencher) {
    bench(bencher, |document| document.pretty().replace("\",\n", "\"\n"));
}

#[divan::bench]
fn truncated(bencher: Bencher) {
    bench(bencher, |document| {
        let text = document.pretty();
        text[..text.floor_char_boundary(text.len() * 9 / 10)].to_owned()
    });
}

#[divan::bench]
fn hostile_nesting(bencher: Bencher) {
    let document = documents().remove(0);
    let repairer = Repairer::new(&document.schema).expect(&document.name);
    let text = "[{\"a\":".repeat(100_000);
    bencher
        .counter(BytesCount::new(text.len()))
        .bench_local(|| black_box(repairer.repair(black_box(&text)).is_err()));
}
