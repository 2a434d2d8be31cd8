//! A look at the files and variables that the links name, before they are needed.

use std::time::{Duration, SystemTime};

use x509_cert::{Certificate, der::Decode, time::Time};

use super::tls;
use crate::config::{
    Problems, endpoint::Endpoint, login::Unusable, mqtt::Target, target_link::TlsFiles,
};

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// With these a broker cannot be reached.
    pub problems: Problems,
    /// This will be a problem one day.
    pub warnings: Problems,
}

/// Looks at the files of all targets, below `path`, as they are `now`.
pub fn look(targets: &[Target], path: &str, now: SystemTime) -> Findings {
    let mut findings = Findings::default();
    for (n, target) in targets.iter().enumerate() {
        look_at(target, &format!("{path}[{n}]"), now, &mut findings);
    }
    findings
}

fn look_at(target: &Target, path: &str, now: SystemTime, findings: &mut Findings) {
    let Ok(endpoint) = Endpoint::parse(&target.url) else {
        return;
    };
    let mut unusable = Vec::new();
    if let Some(login) = target.login() {
        unusable.extend(login.password.read().err());
    }
    if let Some(login) = target.client_login() {
        let of_clients = login.password.read().err();
        unusable.extend(of_clients.map(|Unusable { key, why }| Unusable {
            key: of_client(key),
            why,
        }));
    }
    if endpoint.tls {
        let files = target.tls_files();
        unusable.extend(tls::problems(&files));
        if let Some(expired) = look_at_age(&files, path, now, &mut findings.warnings) {
            unusable.push(expired);
        }
    }
    for Unusable { key, why } in unusable {
        findings.problems.push(format!("{path}.{key}"), why);
    }
}

/// The key of the clients' password beside that of the gateway's.
fn of_client(key: &'static str) -> &'static str {
    match key {
        "password_env" => "client_password_env",
        _ => "client_password_file",
    }
}

/// From how long before its end on a certificate is warned of.
const SOON: Duration = Duration::from_hours(30 * 24);

fn look_at_age(
    files: &TlsFiles,
    path: &str,
    now: SystemTime,
    warnings: &mut Problems,
) -> Option<Unusable> {
    let (place, _) = files.client.as_ref()?;
    let chain = tls::chain_of(place).ok()?;
    let certificate = Certificate::from_der(chain.first()?).ok()?;
    let validity = certificate.tbs_certificate().validity();
    let time = |time: Time| SystemTime::UNIX_EPOCH + time.to_unix_duration();
    let (from, until) = (time(validity.not_before), time(validity.not_after));
    let told = |why: &str, time| {
        let why = format!("{why} {}", humantime::format_rfc3339_seconds(time));
        tls::unusable("client_cert_file", place, &why)
    };
    if until < now {
        return Some(told("has expired on", until));
    }
    if now < from {
        return Some(told("is not valid before", from));
    }
    if until < now + SOON {
        let Unusable { key, why } = told("expires on", until);
        warnings.push(format!("{path}.{key}"), why);
    }
    None
}
