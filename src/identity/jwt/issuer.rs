//! The keys of an issuer, behind a URL.
//!
//! Invariants: the URL is asked by one request at a time, and for a key that nobody knows no more often than allowed, whatever tokens come; keys
//! stay in force while it does not answer, for no longer than configured, and go when it answers that there are none; a token by a key that may just have come is not refused as wrong before the issuer was asked.

use std::{collections::VecDeque, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use super::{keyring::Keyring, keys::Keys, token::Head, unread::Unread};
use crate::{
    config::{auth::Algorithm, login::Unusable},
    domain::Micros,
    identity::{seldom::Seldom, web::Web},
};

/// The longest set.
const MAX_BYTES: usize = 256 * 1024;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many keys are remembered as not in the set.
const MAX_ABSENT: usize = 64;

/// An issuer.
pub(super) struct Issuer {
    realm: Arc<str>,
    web: Web,
    url: url::Url,
    refresh: Duration,
    min_interval: Duration,
    algorithms: Vec<Algorithm>,
    ring: Arc<Keyring>,
    asked: Mutex<Asked>,
    began: Instant,
    told_read: Seldom,
}

/// When it was asked last.
struct Asked {
    began: Option<Instant>,
    /// Whether it answered.
    answered: bool,
    /// Which keys its answer did not hold.
    absent: VecDeque<Head>,
    /// Whether it was said that it does not answer.
    told: bool,
    unread: Unread,
}

/// What came of looking for a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sought {
    /// The issuer was asked: look again.
    Asked,
    /// It was asked a moment ago, and has no such key.
    NotThere,
    /// It cannot be asked now, or does not answer.
    NotNow { retry_after_s: u32 },
}

impl Issuer {
    pub(super) fn new(
        realm: Arc<str>,
        (url, ca_file): (&url::Url, Option<&Path>),
        (refresh, min_interval, keeps): (Duration, Duration, Duration),
        algorithms: Vec<Algorithm>,
        ring: Arc<Keyring>,
    ) -> Result<Self, Unusable> {
        let key = "ca_file";
        let asked = Asked {
            began: None,
            answered: false,
            absent: VecDeque::new(),
            told: false,
            unread: Unread::new(Arc::clone(&realm), keeps),
        };
        Ok(Self {
            realm,
            web: Web::new(url, ca_file, 1).map_err(|why| Unusable { key, why })?,
            url: url.clone(),
            refresh,
            min_interval,
            algorithms,
            ring,
            asked: Mutex::new(asked),
            began: Instant::now(),
            told_read: Seldom::default(),
        })
    }

    /// Asks it again and again.
    pub(super) async fn keep(self: Arc<Self>) {
        loop {
            let answered = {
                let mut asked = self.asked.lock().await;
                self.ask(&mut asked).await;
                asked.answered
            };
            let pause = if answered {
                self.refresh
            } else {
                self.refresh.min(self.min_interval)
            };
            sleep(pause).await;
        }
    }

    /// Looks for a key that is not known. It goes on if nobody waits for it any more.
    pub(super) async fn seek(self: Arc<Self>, head: Head) -> Sought {
        let came = Instant::now();
        let seeking = tokio::spawn(async move { self.seek_now(head, came).await });
        let failed = Sought::NotNow { retry_after_s: 1 };
        seeking.await.unwrap_or(failed)
    }

    async fn seek_now(&self, head: Head, came: Instant) -> Sought {
        let mut asked = self.asked.lock().await;
        let covered = asked.began.is_some_and(|began| began >= came);
        if !covered && self.is_known(&head) {
            return Sought::Asked;
        }
        if !covered {
            if let Some(left) = self.pause_left(&asked) {
                return if asked.absent.contains(&head) {
                    Sought::NotThere
                } else {
                    not_now(left)
                };
            }
            self.ask(&mut asked).await;
        }
        if !asked.answered {
            let left = self.pause_left(&asked).unwrap_or_default();
            return not_now(left);
        }
        if !self.is_known(&head) {
            if asked.absent.len() >= MAX_ABSENT {
                asked.absent.pop_front();
            }
            asked.absent.push_back(head);
        }
        Sought::Asked
    }

    fn is_known(&self, head: &Head) -> bool {
        let known = |keys: Arc<Keys>| head.kid.is_some() && keys.of(head).next().is_some();
        self.ring.load().is_some_and(known)
    }

    fn pause_left(&self, asked: &Asked) -> Option<Duration> {
        let left = self.min_interval.checked_sub(asked.began?.elapsed())?;
        (!left.is_zero()).then_some(left)
    }

    async fn ask(&self, asked: &mut Asked) {
        asked.began = Some(Instant::now());
        asked.absent.clear();
        let fetched = self.fetch().await;
        asked.answered = fetched.is_ok();
        match fetched {
            Ok(keys) => {
                self.install(keys);
                asked.unread.ends();
                asked.told = false;
            }
            Err(why) => {
                if !asked.told {
                    tracing::warn!(realm = %self.realm, why, "the issuer's keys cannot be read: those that are known stay in force, until keys_stale_for is over");
                    asked.told = true;
                }
                asked.unread.goes_on(Instant::now(), &self.ring);
            }
        }
    }

    fn install(&self, keys: Keys) {
        let is_empty = keys.is_empty();
        let differ = self.ring.install(keys);
        // An issuer of several minds would have it said with each answer.
        let now = i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX);
        if !differ || !self.told_read.is_due(Micros::new(now.max(1))) {
            return;
        }
        if is_empty {
            tracing::warn!(realm = %self.realm, "the issuer has no key that can be used: every token is refused");
        } else {
            tracing::info!(realm = %self.realm, "the keys of the issuer were read");
        }
    }

    async fn fetch(&self) -> Result<Keys, String> {
        let request = Request::get(self.url.as_str())
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .body(Empty::<Bytes>::new())
            .map_err(|_| "jwks_url is none that can be asked")?;
        let answer = self.web.ask(request, MAX_BYTES, PATIENCE).await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status != StatusCode::OK {
            return Err(format!("it answers {}", answer.status));
        }
        Keys::set(&answer.body, &self.algorithms).map_err(|why| format!("its answer {why}"))
    }
}

fn not_now(left: Duration) -> Sought {
    Sought::NotNow {
        retry_after_s: u32::try_from(left.as_secs() + 1).unwrap_or(u32::MAX),
    }
}
