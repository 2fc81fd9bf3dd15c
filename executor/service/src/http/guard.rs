//! What every request passes before it is carried out, and every answer on its way back: who it is, what they may, how
//! often, from which page; and the audit record.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant as Clock;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::AppState;
use crate::auth::{Caller, Role};
use crate::clock::now_ms;
use crate::store::{Audit, Write};

/// Addresses whose rate is remembered; beyond it, those that rest are forgotten.
const MOST_ADDRESSES: usize = 10_000;
/// Maximum length of a path in the audit record.
const MOST_PATH: usize = 512;

/// Nothing comes from elsewhere, nothing is sent elsewhere, and no other site may embed the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; worker-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The rate limit per address: a number of requests in a burst, refilled at a number per second.
#[derive(Clone, Debug)]
pub(crate) struct Rates {
    per_second: u32,
    left: Arc<Mutex<HashMap<Counted, (f64, Clock)>>>,
}

impl Rates {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, left: Arc::default() }
    }

    fn lets_in(&self, who: Counted) -> bool {
        let (rate, now) = (f64::from(self.per_second), Clock::now());
        let most = rate * 2.0;
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let filled =
            |(tokens, at): &(f64, Clock)| (tokens + now.duration_since(*at).as_secs_f64() * rate).min(most);
        if left.len() >= MOST_ADDRESSES {
            left.retain(|_, state| filled(state) < most);
        }
        let state = left.entry(who).or_insert((most, now));
        *state = (filled(state), now);
        let fits = state.0 >= 1.0;
        state.0 -= f64::from(u8::from(fits));
        fits
    }
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    Address(SocketAddr),
    /// An account of this machine, over a Unix socket.
    Account(u32),
}

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Counted {
    Address(IpAddr),
    Account(u32),
}

impl Peer {
    fn counted(self) -> Counted {
        match self {
            Self::Address(address) => Counted::Address(address.ip()),
            Self::Account(uid) => Counted::Account(uid),
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Account(uid) => write!(f, "uid {uid}"),
        }
    }
}

pub(super) async fn guard(State(desk): State<AppState>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied().unwrap_or_else(unknown_peer);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let caller = identify(&desk, &request, peer);
    let changes = !matches!(method, Method::GET | Method::HEAD);
    let name = caller.as_ref().map_or_else(|_| "nobody".to_owned(), |caller| caller.name.clone());
    let response = match caller.and_then(|caller| permit(caller, &method, &path)) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    let status = response.status();
    if changes || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        let path = path.chars().take(MOST_PATH).collect();
        let (at_ms, address) = (now_ms(), peer.counted().to_string());
        let audit =
            Audit { at_ms, caller: name, address, method: method.to_string(), path, status: status.as_u16() };
        // A store that has stopped keeps nothing; its own log says so.
        let _ = desk.supervisor.writes.send(Write::Audit(audit));
    }
    hardened(response)
}

fn unknown_peer() -> Peer {
    Peer::Address(SocketAddr::from(([0, 0, 0, 0], 0)))
}

fn identify(desk: &AppState, request: &Request, peer: Peer) -> Result<Caller, Problem> {
    let headers = request.headers();
    if !desk.rates.lets_in(peer.counted()) {
        return Err(Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "request.too-many",
            "too many requests from this address",
            "send fewer requests; follow events instead of polling",
        ));
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let needs_token = desk.tokens.is_some() && matches!(peer, Peer::Address(_));
    // A client that needs no token may do everything: a foreign name for our address is a foreign page.
    if !needs_token && !is_local(host) {
        return Err(forbidden("host.foreign", "the request names a host that is not this machine"));
    }
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    if changes && is_foreign(headers, host) {
        return Err(forbidden("origin.foreign", "the request comes from a page of another site"));
    }
    if let Peer::Account(uid) = peer {
        return desk.accounts.caller(uid).ok_or_else(|| {
            forbidden("account.not-allowed", "this account has no access")
                .detail(format!("the account with number {uid} is neither root nor this service's user"))
        });
    }
    match &desk.tokens {
        None => Ok(Caller { name: "local".to_owned(), role: Role::Admin }),
        // The page itself is no secret: it prompts for the token.
        Some(_) if is_page(request) => Ok(Caller { name: "page".to_owned(), role: Role::Viewer }),
        Some(tokens) => bearer(headers).and_then(|token| tokens.caller(token)).ok_or_else(unauthorised),
    }
}

fn permit(caller: Caller, method: &Method, path: &str) -> Result<Caller, Problem> {
    let needed = needed(method, path);
    if caller.role < needed {
        return Err(Problem::role_too_low(needed, caller.role));
    }
    Ok(caller)
}

fn needed(method: &Method, path: &str) -> Role {
    match *method {
        _ if path.starts_with("/api/v1/audit") => Role::Admin,
        Method::POST if path.starts_with("/api/v1/rules/") => Role::Admin,
        Method::GET | Method::HEAD => Role::Viewer,
        _ => Role::Operator,
    }
}

fn is_page(request: &Request) -> bool {
    let path = request.uri().path();
    *request.method() == Method::GET && (path == "/" || path.starts_with("/page/"))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

fn is_foreign(headers: &HeaderMap, host: &str) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let foreign_site = text(HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let foreign_origin = text(header::ORIGIN)
        .is_some_and(|origin| origin.split_once("://").map(|(_, authority)| authority) != Some(host));
    foreign_site || foreign_origin
}

/// Whether a `Host` names this machine to itself.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

fn unauthorised() -> Problem {
    Problem::new(
        StatusCode::UNAUTHORIZED,
        "token.missing",
        "missing or unknown token",
        "send `Authorization: Bearer TOKEN`",
    )
}

fn forbidden(code: &'static str, title: &'static str) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        code,
        title,
        "use the service's own address; an administrator can grant access to an account",
    )
}

fn hardened(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if response.status() == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}
