//! What a caller costs that was recognized before. Run it by itself, in release: `cargo test --release --lib measured -- --ignored --nocapture`.

use std::{fs, hint::black_box, time::Instant};

use super::{
    bearer, identity,
    keys::{SECRET, Signer},
};

const CALLERS: usize = 40_000;

#[tokio::test]
#[ignore = "a measurement"]
async fn a_repeated_verdict() {
    let (identity, _) = identity(&format!(
        "[[auth.callers]]\nkind = \"jwt\"\nalgorithm = \"HS256\"\nsecret = \"{SECRET}\"\naudiences = [\"{{sub}}\"]"
    ));
    let signer = Signer::secret(SECRET);
    let sample = bearer(&signer.token("terminal-00000"));
    sample.of(&identity).await.unwrap();
    let began = Instant::now();
    let times = 1_000_000;
    for _ in 0..times {
        black_box(sample.of(&identity).await.unwrap());
    }
    println!("one caller again: {:?} each", began.elapsed() / times);
    let before = resident_kib();
    for n in 0..CALLERS {
        let token = signer.token(&format!("terminal-{n:05}"));
        bearer(&token).of(&identity).await.unwrap();
    }
    let after = resident_kib();
    println!(
        "{} bytes each of {CALLERS} callers",
        (after - before) * 1_024 / CALLERS
    );
}

fn resident_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
