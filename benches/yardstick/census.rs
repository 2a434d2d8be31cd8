//! What the census costs: to see a client for the first time and again, to remember all of them, and to write them.

use std::{fmt::Write, fs, hint::black_box, sync::Arc, time::Instant};

use anyhow::Context;
use changeover::{
    config::{census::Census as Settings, database::Database, sequencer::Sequencer},
    cutover::{Census, CensusKeeper},
    domain::{Audience, Client, Clock, ModuleName, SystemClock, Transport},
    store,
};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Clients, each of all modules.
    #[arg(long, default_value_t = 1_000_000)]
    clients: u32,
    /// Modules.
    #[arg(long, default_value_t = 3)]
    modules: u32,
    /// How many are remembered one by one, `census.clients`; without it as by default.
    #[arg(long)]
    remembered: Option<usize>,
    /// Where they are written; an empty one that nobody else uses.
    #[arg(long)]
    database: String,
}

/// Prints nanoseconds of a first and of a further poll, MiB that the process grew by, clients that are remembered, seconds and clients a second of
/// writing all, seconds of writing again after nothing was new, seconds of counting, and how many were counted.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let names = (0..arguments.modules).map(|n| format!("m{n}").parse());
    let modules: Vec<ModuleName> = names.collect::<Result<_, _>>()?;
    let mut settings = Settings::default();
    settings.clients = arguments.remembered.unwrap_or(settings.clients);
    let before = resident_mib()?;
    let begun = (Instant::now(), SystemClock.now());
    let census = Arc::new(Census::new(&settings, &modules, |_| String::new(), begun));
    let first_ns = see_all(arguments, &census, &modules);
    let again_ns = see_all(arguments, &census, &modules);
    let grown = resident_mib()?.saturating_sub(before);
    let database = Database {
        url: arguments.database.clone(),
        ..Database::default()
    };
    let store = store::open(&database, &Sequencer::default()).await?;
    store.migrate().await?;
    let name = "bench".to_owned();
    let clock = Arc::new(SystemClock);
    let mut keeper = CensusKeeper::new(Arc::clone(&census), Arc::clone(&store), clock, name);
    let writing = Instant::now();
    keeper.pass().await?;
    let first = writing.elapsed().as_secs_f64();
    let writing = Instant::now();
    keeper.pass().await?;
    let again = writing.elapsed().as_secs_f64();
    let counting = Instant::now();
    let rows = store.count_clients(settings.window.get()).await?;
    let count = counting.elapsed().as_secs_f64();
    let remembered = census.remembered();
    let told = census.counts().last().context("nobody was counted")?;
    let polls = modules.iter().map(|module| told.of(module).poll);
    let counted: u64 = polls.sum::<u64>() / u64::from(arguments.modules.max(1));
    #[expect(clippy::cast_precision_loss, reason = "clients of a benchmark")]
    let rate = remembered as f64 / first;
    let mut line = String::new();
    write!(
        line,
        "{first_ns:.0} {again_ns:.0} {grown} {remembered} {first:.1} {rate:.0} {again:.3} {count:.2} {counted} {}",
        rows.len()
    )?;
    println!("{line}");
    Ok(())
}

/// Every client polls every module. Returns the nanoseconds of one poll.
fn see_all(arguments: &Arguments, census: &Census, modules: &[ModuleName]) -> f64 {
    let begun = Instant::now();
    let mut id = String::new();
    for n in 0..arguments.clients {
        id.clear();
        let _never = write!(id, "terminal-{n:07}");
        let audiences = [Audience::everyone(), Audience::stored(id.as_str())];
        let client = Client {
            id: &id,
            audiences: &audiences,
            agent: if n % 3 == 0 {
                b"Terminal/3.1"
            } else {
                b"Terminal/3.2"
            },
            address: Some(n.to_be_bytes().into()),
        };
        for module in modules {
            if let Some(clients) = census.clients(module) {
                black_box(clients.polls(&client, Transport::Poll, false, begun));
            }
        }
    }
    let polls = f64::from(arguments.clients) * f64::from(arguments.modules);
    begun.elapsed().as_secs_f64() * 1e9 / polls
}

/// What the process holds of memory.
fn resident_mib() -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("the system does not tell")?.parse::<u64>()? / 1_024)
}
