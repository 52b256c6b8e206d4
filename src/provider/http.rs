//! The HTTP client of one provider: sends an encoded request within four time limits, and reads the
//! answer. Does not retry and does not choose between providers; that is the router's task.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use reqwest::{Response, Url};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout, timeout_at};

use crate::provider::allowance::Remaining;
use crate::provider::api::{HttpRequest, Provider};
use crate::provider::decompress::Decompress;
use crate::provider::error::ProviderError;
use crate::provider::message::{Completion, Prompt, Usage};
use crate::provider::model_size;
use crate::provider::redact::Redact;
use crate::provider::spec::{ApiSpec, Settings, Timeouts};
use crate::provider::status::ErrorSource;
use crate::provider::stream::{AnswerPiece, AnswerReader};
use crate::provider::{connect_error, headers};

/// The most bytes of an answer, decompressed. The largest useful one, 256 actions, is below 40 KiB.
pub const LARGEST_BODY: usize = 1 << 20;

/// The most bytes read of the body of an error.
const LARGEST_ERROR: usize = 64 << 10;

/// Time limit of the body of an error. The status alone decides most; the rest is for people.
const ERROR_TIMEOUT: Duration = Duration::from_secs(1);

/// Time limit of a free probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Time to wait for the end of the body after the end of the answer was marked: a finished
/// connection is reused, which saves the next call a handshake.
const LINGER: Duration = Duration::from_millis(100);

/// The certificate authorities of the system, read when the first `https` provider is called, and
/// shared by all providers.
#[derive(Debug, Clone, Default)]
pub struct Trust(Arc<OnceLock<RootCertStore>>);

impl Trust {
    fn roots(&self) -> &RootCertStore {
        self.0.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                tracing::warn!(
                    "no certificate authorities on this system: install `ca-certificates`"
                );
            }
            roots
        })
    }
}

/// The settings of a provider that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("provider `{name}`: {why}")]
pub struct InvalidEndpoint {
    name: String,
    why: String,
}

/// One provider, ready to be called. The connection is made by the first call, so that an idle
/// daemon stays small.
pub struct Endpoint {
    base_url: String,
    headers: HeaderMap,
    spec: &'static ApiSpec,
    model: String,
    redact: Redact,
    timeouts: Timeouts,
    encoder: Box<dyn Provider>,
    is_small: bool,
    trust: Trust,
    client: OnceLock<reqwest::Client>,
    /// Idle connections kept: as many as there are calls at once, or each call of a burst would
    /// make a handshake.
    idle_connections: usize,
    /// The service's own limits by its last answer, and when it came.
    remaining: Mutex<Option<(Remaining, Instant)>>,
}

/// The time limit of one call: the configured one, or the rest of the command's time.
#[derive(Debug, Clone, Copy)]
struct CallLimit {
    within: Duration,
    end: Instant,
    /// Whether the provider could have had more time, had the command not been short of it.
    is_cut: bool,
}

impl CallLimit {
    /// Returns the limit of a call that may take `longest`, for a command that has `left`.
    fn from_now(longest: Duration, left: Duration) -> Self {
        let within = longest.min(left);
        Self {
            within,
            end: Instant::now() + within,
            is_cut: left < longest,
        }
    }

    /// Returns the error of a call that was not over at the end.
    fn exceeded(self) -> ProviderError {
        if self.is_cut {
            return ProviderError::CutOff {
                within: self.within,
            };
        }
        too_late(self.within)
    }
}

/// The result of one call and how long it took.
#[derive(Debug)]
pub struct Probe {
    /// Completion, or the reason why there is none.
    pub answer: Result<Completion, ProviderError>,
    /// From the request to the first byte of the answer's headers, the connection included.
    pub first_byte: Option<Duration>,
    /// Until the whole answer was there, or failed.
    pub total: Duration,
    /// The server's clock, where it sent one.
    pub clock: Option<SystemTime>,
}

/// The result of a free probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The server accepts the address and the key.
    Ready,
    /// The server rejects the key.
    Denied,
    /// The server responds, but not with success.
    Responds,
    /// There is no answer, or the server or the proxy before it says it cannot serve.
    Away,
}

impl Endpoint {
    /// Creates the client of these settings.
    ///
    /// # Errors
    /// When `base_url` is no `http` or `https` address, or the key cannot be sent.
    pub fn new(settings: &Settings, trust: Trust) -> Result<Self, InvalidEndpoint> {
        let invalid = |why: String| InvalidEndpoint {
            name: settings.name.clone(),
            why,
        };
        let url = Url::parse(&settings.base_url)
            .map_err(|error| invalid(format!("`base_url` is no address: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(invalid(format!(
                "`base_url` must begin with http:// or https://, found `{}`",
                settings.base_url
            )));
        }
        let encoder =
            (settings.api.build)(settings, &url).map_err(|error| invalid(error.to_string()))?;
        let headers = headers::outgoing(settings).map_err(|error| invalid(error.to_string()))?;
        Ok(Self {
            base_url: settings.base_url.trim_end_matches('/').to_owned(),
            headers,
            spec: settings.api,
            model: settings.model.clone(),
            redact: Redact::new(settings.key.as_ref()),
            timeouts: settings.timeouts,
            encoder,
            is_small: settings.is_small,
            trust,
            client: OnceLock::new(),
            idle_connections: settings.concurrency.get(),
            remaining: Mutex::new(None),
        })
    }

    fn encode(&self, prompt: &Prompt, stream: bool) -> HttpRequest {
        if self.is_small {
            self.encoder.encode(&prompt.narrowed(), stream)
        } else {
            self.encoder.encode(prompt, stream)
        }
    }

    fn origin(&self) -> ErrorSource<'_> {
        ErrorSource {
            spec: self.spec,
            model: &self.model,
        }
    }

    /// Sends `prompt` once and waits at most `within`.
    ///
    /// # Errors
    /// When there is no complete answer in time, or it is an error.
    pub async fn call(
        &self,
        prompt: &Prompt,
        within: Duration,
    ) -> Result<Completion, ProviderError> {
        let limit = CallLimit::from_now(self.timeouts.total, within);
        let request = self.encode(prompt, false);
        self.exchange(request, limit, None).await
    }

    /// Sends a request and reads its answer; neither has the key in it.
    async fn exchange(
        &self,
        request: HttpRequest,
        limit: CallLimit,
        pieces: Option<Sender<AnswerPiece>>,
    ) -> Result<Completion, ProviderError> {
        let outcome = match self.send(request, limit).await {
            Ok(response) => self.read(response, limit, pieces).await,
            Err(error) => Err(error),
        };
        self.redact.outcome(outcome)
    }

    /// Sends `prompt` once, like [`call`](Self::call), and measures the times.
    pub async fn probe(&self, prompt: &Prompt) -> Probe {
        let begun = Instant::now();
        let limit = CallLimit::from_now(self.timeouts.total, Duration::MAX);
        let mut first_byte = None;
        let mut clock = None;
        let answer = async {
            let request = self.encode(prompt, false);
            let response = self.send(request, limit).await?;
            first_byte = Some(begun.elapsed());
            clock = headers::date_of(response.headers());
            self.read(response, limit, None).await
        };
        let answer = self.redact.outcome(answer.await);
        Probe {
            answer,
            first_byte,
            total: begun.elapsed(),
            clock,
        }
    }

    /// Sends `prompt` once and passes on the answer's text in parts as they come. They are worth
    /// nothing before the whole answer is there, which may still turn out cut or refused; where
    /// nobody takes them, the answer is awaited all the same.
    ///
    /// # Errors
    /// When there is no complete answer in time, or it is an error.
    pub async fn call_streaming(
        &self,
        prompt: &Prompt,
        within: Duration,
        pieces: Sender<AnswerPiece>,
    ) -> Result<Completion, ProviderError> {
        let limit = CallLimit::from_now(self.timeouts.total, within);
        let request = self.encode(prompt, true);
        self.exchange(request, limit, Some(pieces)).await
    }

    /// Reads an answer, whole or in parts, whichever the server sends.
    async fn read(
        &self,
        mut response: Response,
        limit: CallLimit,
        pieces: Option<Sender<AnswerPiece>>,
    ) -> Result<Completion, ProviderError> {
        let mut reader = AnswerReader::new(self.origin(), &self.redact);
        let mut redacted = self.redact.pieces();
        let mut body = Body::of(&response, LARGEST_BODY)?;
        let mut patience = self.timeouts.between_bytes;
        loop {
            let bytes = match self.chunk(&mut response, patience, limit).await {
                Ok(Some(bytes)) => body.add(&bytes)?,
                Ok(None) => {
                    let mut piece = reader.push(&body.finish()?);
                    piece.push_str(&reader.end());
                    if let Some(pieces) = &pieces {
                        pass_on(pieces, redacted.pass(piece), limit).await?;
                    }
                    return reader.finish();
                }
                // The server keeps the connection open, or breaks it, but the answer is complete.
                Err(_) if reader.is_over() => return reader.finish(),
                Err(error) => return Err(error),
            };
            let piece = reader.push(&bytes);
            if let Some(pieces) = &pieces {
                pass_on(pieces, redacted.pass(piece), limit).await?;
            }
            if reader.is_over() {
                patience = LINGER;
            }
        }
    }

    /// Checks by a request that costs nothing whether the server is there.
    pub async fn presence(&self) -> Presence {
        let (Some(path), Ok(client)) = (self.spec.free_probe, self.client()) else {
            return Presence::Away;
        };
        let request = client
            .get(format!("{}{path}", self.base_url))
            .headers(self.headers.clone())
            .send();
        let limit = PROBE_TIMEOUT.min(self.timeouts.first_byte);
        match timeout(limit, request).await {
            Ok(Ok(response)) if response.status().is_success() => Presence::Ready,
            // A server that is loading its model, and proxies of one that is away, answer so.
            Ok(Ok(response)) if matches!(response.status().as_u16(), 502..=504) => Presence::Away,
            Ok(Ok(response)) if matches!(response.status().as_u16(), 401..=403) => Presence::Denied,
            Ok(Ok(_)) => Presence::Responds,
            Ok(Err(_)) | Err(_) => Presence::Away,
        }
    }

    /// Returns the parameters of the model as the server lists it, by a request that costs nothing;
    /// `Ok(None)` where it lists none.
    ///
    /// # Errors
    /// When the list does not come.
    pub async fn listed_size(&self) -> Result<Option<u64>, ProviderError> {
        let Some(path) = self.spec.free_probe else {
            return Ok(None);
        };
        let patience = PROBE_TIMEOUT.min(self.timeouts.first_byte);
        let limit = CallLimit::from_now(patience, Duration::MAX);
        let request = self.client()?.get(format!("{}{path}", self.base_url));
        let sending = request.headers(self.headers.clone()).send();
        let mut response = match timeout_at(limit.end, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(unreachable(&error)),
            Err(_) => return Err(too_late(limit.within)),
        };
        if !response.status().is_success() {
            return Ok(None);
        }
        let mut body = Body::of(&response, LARGEST_BODY)?;
        let mut text = Vec::new();
        while let Some(bytes) = self.chunk(&mut response, patience, limit).await? {
            text.extend(body.add(&bytes)?);
        }
        text.extend(body.finish()?);
        let listing = serde_json::from_slice(&text).unwrap_or_default();
        Ok(model_size::listed_in(&listing, &self.model))
    }

    /// Returns the time until the service's own limits have room for a request of `tokens`, by its
    /// last answer.
    pub fn limited_for(&self, tokens: u64) -> Duration {
        let stated = *self.lock();
        stated.map_or(Duration::ZERO, |(remaining, at)| {
            remaining.wait_for(tokens).saturating_sub(at.elapsed())
        })
    }

    /// Returns the rest of the service's own limits by its last answer.
    pub fn remaining(&self) -> Option<Remaining> {
        self.lock().map(|(remaining, _)| remaining)
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Remaining, Instant)>> {
        self.remaining.lock()
    }

    /// Sends a request and waits for a response whose status is 2xx.
    async fn send(
        &self,
        request: HttpRequest,
        limit: CallLimit,
    ) -> Result<Response, ProviderError> {
        let sending = self
            .client()?
            .post(format!("{}{}", self.base_url, request.path))
            .headers(self.headers.clone())
            .body(request.body)
            .send();
        let first_byte = self.timeouts.first_byte;
        let response = match timeout_at(limit.end.min(Instant::now() + first_byte), sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(unreachable(&error)),
            Err(_) if first_byte < limit.within => return Err(too_late(first_byte)),
            Err(_) => return Err(limit.exceeded()),
        };
        let remaining = (self.spec.read_limits)(response.headers());
        if remaining != Remaining::default() {
            *self.lock() = Some((remaining, Instant::now()));
        }
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.error(response, limit).await)
        }
    }

    /// Returns the error of a response whose status is not 2xx. The status counts even where the
    /// body does not come.
    async fn error(&self, mut response: Response, limit: CallLimit) -> ProviderError {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let limit = CallLimit {
            end: limit.end.min(Instant::now() + ERROR_TIMEOUT),
            ..limit
        };
        let mut text = Vec::new();
        if let Ok(mut body) = Body::of(&response, LARGEST_ERROR) {
            let patience = self.timeouts.between_bytes;
            while let Ok(Some(bytes)) = self.chunk(&mut response, patience, limit).await {
                match body.add(&bytes) {
                    Ok(bytes) => text.extend(bytes),
                    Err(_) => break,
                }
            }
            text.extend(body.finish().unwrap_or_default());
        }
        let text = self.redact.body(text);
        self.origin()
            .of_response(status, &headers, &text, SystemTime::now())
    }

    /// Returns the next bytes of a body; `None` at its end.
    async fn chunk(
        &self,
        response: &mut Response,
        patience: Duration,
        limit: CallLimit,
    ) -> Result<Option<Bytes>, ProviderError> {
        let next = Instant::now() + patience;
        match timeout_at(limit.end.min(next), response.chunk()).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(unreachable(&error)),
            Err(_) if next < limit.end => Err(too_late(patience)),
            Err(_) => Err(limit.exceeded()),
        }
    }

    fn client(&self) -> Result<&reqwest::Client, ProviderError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = self
            .build()
            .map_err(|why| ProviderError::Unusable { why })?;
        Ok(self.client.get_or_init(|| client))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    fn build(&self) -> Result<reqwest::Client, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // A local server without TLS needs no authorities, which take 300 KiB of memory.
        let roots = if self.base_url.starts_with("https:") {
            self.trust.roots().clone()
        } else {
            RootCertStore::empty()
        };
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.with_root_certificates(roots).with_no_client_auth())
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("sayso/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.timeouts.connect)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(self.idle_connections);
        client.build().map_err(|error| {
            format!(
                "the HTTP client cannot be created: {}",
                connect_error::why(&error)
            )
        })
    }
}

/// A body as it comes: decompressed, and bounded in size.
struct Body {
    decompress: Decompress,
    length: usize,
    limit: usize,
}

impl Body {
    fn of(response: &Response, limit: usize) -> Result<Self, ProviderError> {
        if response
            .content_length()
            .is_some_and(|length| length > limit as u64)
        {
            return Err(too_long(limit));
        }
        let encoding = headers::text(response.headers(), CONTENT_ENCODING.as_str());
        Ok(Self {
            decompress: Decompress::new(encoding),
            length: 0,
            limit,
        })
    }

    fn add(&mut self, bytes: &[u8]) -> Result<Vec<u8>, ProviderError> {
        let plain = self.decompress.push(bytes);
        self.length += plain.len();
        if self.length.max(self.decompress.kept()) > self.limit {
            return Err(too_long(self.limit));
        }
        Ok(plain)
    }

    /// Returns the plain bytes of a compressed body after its end.
    fn finish(&mut self) -> Result<Vec<u8>, ProviderError> {
        let plain = self.decompress.finish(self.limit).map_err(|error| {
            let why = format!("it cannot be decompressed: {error}");
            ProviderError::Malformed {
                why,
                usage: Usage::default(),
            }
        })?;
        if plain.len() > self.limit {
            return Err(too_long(self.limit));
        }
        Ok(plain)
    }
}

/// Passes a part of an answer on; one that nobody takes is dropped.
async fn pass_on(
    pieces: &Sender<AnswerPiece>,
    piece: AnswerPiece,
    limit: CallLimit,
) -> Result<(), ProviderError> {
    if piece.is_empty() {
        return Ok(());
    }
    match timeout_at(limit.end, pieces.send(piece)).await {
        Ok(Ok(()) | Err(_)) => Ok(()),
        // It is not the provider that was late.
        Err(_) => Err(ProviderError::CutOff {
            within: limit.within,
        }),
    }
}

fn too_long(limit: usize) -> ProviderError {
    ProviderError::Malformed {
        why: format!("longer than {} KiB", limit >> 10),
        usage: Usage::default(),
    }
}

fn too_late(limit: Duration) -> ProviderError {
    ProviderError::Unreachable {
        why: format!("no answer within {:.1} s", limit.as_secs_f64()),
        sent: true,
    }
}

fn unreachable(error: &reqwest::Error) -> ProviderError {
    ProviderError::Unreachable {
        why: connect_error::why(error),
        sent: !error.is_connect(),
    }
}
