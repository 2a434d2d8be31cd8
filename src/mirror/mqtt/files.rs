//! A look at the files and variables that the links name, before they are needed.

use std::time::SystemTime;

use super::tls;
use crate::config::{
    Problems,
    endpoint::Endpoint,
    login::Unusable,
    mqtt::Target,
    pem::{self, Age},
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
        let age = tls::of_client(&files).map(|(certificate, _)| pem::age(certificate, now));
        match age {
            Some(Age::Bad(why)) => unusable.push(why),
            Some(Age::Ending(Unusable { key, why })) => {
                findings.warnings.push(format!("{path}.{key}"), why);
            }
            Some(Age::Good) | None => {}
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
