//! Headers that go with each question to a gateway, as callers show by them who they are.
//!
//! Invariant: their values are shown nowhere, not even where they cannot be used.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
};

use anyhow::{Context, anyhow, bail};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// The largest file of headers that is read, in bytes: more than any listener takes in one request.
const FILE_BYTES: u64 = 64 * 1024;

/// What is said of each question by the program itself, or by the connection.
const RESERVED: [&str; 8] = [
    "host",
    "connection",
    "content-length",
    "content-type",
    "transfer-encoding",
    "upgrade",
    "changeover-client",
    "changeover-transport",
];

/// One `--header`, as it was given.
#[derive(Clone)]
pub(super) struct Given(String);

impl From<String> for Given {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// All that were given, with those in files.
pub(super) fn read(given: &[Given]) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for Given(text) in given {
        match text.strip_prefix('@') {
            Some(path) => {
                let lines = file(path).with_context(|| format!("--header @{path}"))?;
                for line in lines.lines().filter(|line| !line.trim().is_empty()) {
                    add(&mut headers, line).with_context(|| format!("--header @{path}"))?;
                }
            }
            None => add(&mut headers, text).context("--header")?,
        }
    }
    Ok(headers)
}

fn file(path: &str) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(FILE_BYTES + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > FILE_BYTES {
        return Err(io::Error::other(format!("is above {FILE_BYTES} bytes")));
    }
    Ok(text)
}

fn add(headers: &mut HeaderMap, line: &str) -> anyhow::Result<()> {
    let (name, value) = line
        .split_once(':')
        .context("must be `Name: value`, or `@` and a file of such lines")?;
    let name = HeaderName::try_from(name.trim());
    let name = name.map_err(|_| anyhow!("what stands before the colon is no name of a header"))?;
    if RESERVED.contains(&name.as_str()) {
        bail!("{name} is set by the program itself");
    }
    let value = HeaderValue::try_from(value.trim());
    let mut value = value.map_err(|_| anyhow!("{name}: no header can have this value"))?;
    value.set_sensitive(true);
    headers.append(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn given(texts: &[&str]) -> Vec<Given> {
        texts.iter().map(|text| Given((*text).to_owned())).collect()
    }

    #[test]
    fn they_come_from_the_command_line_and_from_files() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "X-Api-Key: of a:file\r\n\nX-B:2").unwrap();
        let file = format!("@{}", file.path().display());
        let read = read(&given(&["Authorization: Bearer t", &file, "x-b: 3"])).unwrap();
        assert_eq!(read["authorization"], "Bearer t");
        assert_eq!(read["x-api-key"], "of a:file");
        let all: Vec<_> = read.get_all("x-b").iter().collect();
        assert_eq!(all, ["2", "3"]);
    }

    #[test]
    fn no_value_is_shown() {
        let wrong = ["sesame", "X Y: sesame", "X-A: sesame\u{1}", "Host: sesame"];
        for wrong in wrong {
            let wrong = given(&[wrong]);
            let why = format!("{:?}", read(&wrong).unwrap_err());
            assert!(why.starts_with("--header"), "{why}");
            assert!(!why.contains("sesame"), "{why}");
            assert_eq!(format!("{wrong:?}"), "[***]");
        }
        let right = read(&given(&["X-A: sesame"])).unwrap();
        assert!(!format!("{right:?}").contains("sesame"));
        assert!(read(&given(&["@/there/is/none"])).is_err());
    }
}
