//! What every answer of a listener says: when it was given, its `Date`, and over TLS that browsers are to keep to TLS.
//!
//! Invariant: it is what the clock says, also after the clock was set back. What hyper writes by itself stands still then until the
//! clock has come again to where it was.

use std::{cell::RefCell, convert::Infallible, time::SystemTime};

use axum::{
    body::HttpBody,
    http::{
        HeaderValue, Request, Response,
        header::{DATE, STRICT_TRANSPORT_SECURITY},
    },
};
use hyper::{
    body::Incoming,
    service::{Service, service_fn},
};

use crate::domain::{Clock, Micros};

thread_local! {
    /// The second that was written last, and how.
    static WRITTEN: RefCell<Option<(i64, HeaderValue)>> = const { RefCell::new(None) };
}

/// A service whose answers have the date of this clock, and this word on TLS.
pub(super) fn dated<S, B, C>(
    service: S,
    clock: C,
    strict: Option<HeaderValue>,
) -> impl Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Send
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send> + Send,
    B: HttpBody,
    C: Clock + Clone,
{
    service_fn(move |request| {
        let (answering, clock) = (service.call(request), clock.clone());
        let strict = strict.clone();
        async move {
            let mut response = answering.await?;
            response.headers_mut().insert(DATE, date(clock.now()));
            if let Some(strict) = strict {
                let headers = response.headers_mut();
                headers.insert(STRICT_TRANSPORT_SECURITY, strict);
            }
            Ok(response)
        }
    })
}

/// A time as the header says it. It is written once a second for each thread.
fn date(time: Micros) -> HeaderValue {
    let second = time.as_secs();
    WRITTEN.with_borrow_mut(|written| match written {
        Some((of, value)) if *of == second => value.clone(),
        _ => {
            let value = write(time);
            *written = Some((second, value.clone()));
            value
        }
    })
}

fn write(time: Micros) -> HeaderValue {
    let text = httpdate::fmt_http_date(SystemTime::from(time));
    HeaderValue::try_from(text).expect("a date is made of letters and digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_back_with_the_clock() {
        let at = |text: &str| Micros::from(humantime::parse_rfc3339(text).unwrap());
        let cases = [
            ("2026-01-02T03:04:05.9Z", "Fri, 02 Jan 2026 03:04:05 GMT"),
            ("2026-01-02T03:04:06Z", "Fri, 02 Jan 2026 03:04:06 GMT"),
            ("2026-01-02T02:04:06Z", "Fri, 02 Jan 2026 02:04:06 GMT"),
            ("2026-01-02T02:04:06.5Z", "Fri, 02 Jan 2026 02:04:06 GMT"),
            ("2026-01-02T02:04:07Z", "Fri, 02 Jan 2026 02:04:07 GMT"),
        ];
        for (time, expected) in cases {
            assert_eq!(date(at(time)), expected);
        }
    }
}
