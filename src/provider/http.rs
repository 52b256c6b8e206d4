//! The one client. Sends what an API's file encoded, within four time limits, and hands back what it decodes.
//! Does not retry, and does not choose between providers: that is `interpret/ask`.

use parking_lot::Mutex;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Response, Url};
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, timeout, timeout_at};

use crate::provider::anthropic::Anthropic;
use crate::provider::gemini::Gemini;
use crate::provider::ollama::Ollama;
use crate::provider::openai::OpenAi;
use crate::provider::redact::Redact;
use crate::provider::stream::AnswerPiece;
use crate::provider::{
    Api, Completion, HttpRequest, Prompt, Provider, ProviderError, Remaining, Settings, Timeouts,
    UnsendableKey, connect_error, headers,
};

/// The most bytes of an answer. The largest useful one, 256 actions, is below 40 KiB.
pub const LARGEST_BODY: usize = 1 << 20;

/// The most bytes read of the body of an error.
const LARGEST_FAULT: usize = 64 << 10;

/// How long to wait for the answer to a question that costs nothing.
const LOOK: Duration = Duration::from_secs(3);

/// How long to wait for the connection to be free again once all is said: a free one saves the next call a handshake.
const AFTERWARDS: Duration = Duration::from_millis(100);

/// The authorities we trust, read from the system when the first `https` provider is called, and shared by all.
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
                    "no certificates of authorities on this system: install `ca-certificates`"
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

/// One provider, ready to be called. The connection is made at the first call, so that an idle daemon stays small.
pub struct Endpoint {
    base_url: String,
    redact: Redact,
    timeouts: Timeouts,
    provider: Box<dyn Provider>,
    trust: Trust,
    client: OnceLock<reqwest::Client>,
    /// Free connections kept: as many as there are calls at once, or a burst would shake hands anew for each.
    idle: usize,
    /// What the last answer said was left, and when.
    remaining: Mutex<Option<(Remaining, Instant)>>,
}

/// What one call came to, and how long it took.
#[derive(Debug)]
pub struct Probe {
    /// The answer, or why there is none.
    pub answer: Result<Completion, ProviderError>,
    /// From the request to the first byte of the answer's headers, the connection included.
    pub first_byte: Option<Duration>,
    /// Until the whole answer was there, or it was known that there is none.
    pub in_all: Duration,
    /// The server's clock, where it told it.
    pub clock: Option<SystemTime>,
}

impl Endpoint {
    /// The provider of these settings.
    ///
    /// # Errors
    /// When `base_url` is no `http` or `https` address, or the key cannot be sent.
    pub fn new(settings: &Settings, trust: Trust) -> Result<Self, InvalidEndpoint> {
        let unfit = |why: String| InvalidEndpoint {
            name: settings.name.clone(),
            why,
        };
        let url = Url::parse(&settings.base_url)
            .map_err(|error| unfit(format!("`base_url` is no address: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(unfit(format!(
                "`base_url` must begin with http:// or https://, found `{}`",
                settings.base_url
            )));
        }
        let provider = speaker(settings, &url).map_err(|error| unfit(error.to_string()))?;
        let base_url = settings.base_url.trim_end_matches('/').to_owned();
        Ok(Self {
            base_url,
            redact: Redact::new(settings.key.as_ref()),
            timeouts: settings.timeouts,
            provider,
            trust,
            client: OnceLock::new(),
            idle: settings.concurrency.get(),
            remaining: Mutex::new(None),
        })
    }

    /// Asks once, and waits at most `within` in all.
    ///
    /// # Errors
    /// When there is no complete answer in time, or it is an error.
    pub async fn call(
        &self,
        prompt: &Prompt,
        within: Duration,
    ) -> Result<Completion, ProviderError> {
        let limit = self.timeouts.total.min(within);
        let end = Instant::now() + limit;
        let response = self.send(self.provider.encode(prompt), end, limit).await?;
        let body = self.body(response, LARGEST_BODY, end).await?;
        self.provider.decode(&body)
    }

    /// Asks once, like [`call`](Self::call), and watches the clocks.
    pub async fn probe(&self, prompt: &Prompt) -> Probe {
        let (begun, limit) = (Instant::now(), self.timeouts.total);
        let (mut first_byte, mut clock) = (None, None);
        let answer = async {
            let response = self
                .send(self.provider.encode(prompt), begun + limit, limit)
                .await?;
            first_byte = Some(begun.elapsed());
            clock = headers::date_of(response.headers());
            let body = self.body(response, LARGEST_BODY, begun + limit).await?;
            self.provider.decode(&body)
        };
        let answer = answer.await;
        Probe {
            answer,
            first_byte,
            in_all: begun.elapsed(),
            clock,
        }
    }

    /// The same, with the answer's text in pieces as they come. They are worth nothing before the whole is there, for it may
    /// still turn out cut or refused; where nobody takes them any more, the answer is awaited all the same.
    ///
    /// # Errors
    /// When there is no complete answer in time, or it is an error.
    pub async fn call_streaming(
        &self,
        prompt: &Prompt,
        within: Duration,
        pieces: Sender<AnswerPiece>,
    ) -> Result<Completion, ProviderError> {
        self.redact
            .outcome(self.gather(prompt, within, pieces).await)
    }

    async fn gather(
        &self,
        prompt: &Prompt,
        within: Duration,
        pieces: Sender<AnswerPiece>,
    ) -> Result<Completion, ProviderError> {
        let limit = self.timeouts.total.min(within);
        let end = Instant::now() + limit;
        let mut response = self
            .send(self.provider.encode_stream(prompt), end, limit)
            .await?;
        if is_whole(response.headers()) {
            let completion = self
                .provider
                .decode(&self.body(response, LARGEST_BODY, end).await?)?;
            give(&pieces, completion.body.clone(), end).await?;
            return Ok(completion);
        }
        let (mut stream, mut redacted) = (self.provider.stream(), self.redact.pieces());
        let (mut length, mut patience) = (0, self.timeouts.first_byte);
        loop {
            if stream.is_over() {
                patience = AFTERWARDS;
            }
            let bytes = match self.chunk(&mut response, patience, end).await {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return stream.finish(),
                // The server keeps the connection open, or breaks it, but all is said.
                Err(_) if stream.is_over() => return stream.finish(),
                Err(error) => return Err(error),
            };
            length += bytes.len();
            if length > LARGEST_BODY {
                return Err(too_long(LARGEST_BODY));
            }
            for piece in stream.push(&bytes) {
                give(&pieces, redacted.pass(piece), end).await?;
            }
            patience = self.timeouts.between_bytes;
        }
    }

    /// Whether the server is there, by a question that costs nothing. One that has no answer to it is there as well; one that says
    /// that it cannot serve is not.
    pub async fn is_there(&self) -> bool {
        let (Some((path, headers)), Ok(client)) = (self.provider.free(), self.client()) else {
            return false;
        };
        let asking = client
            .get(format!("{}{path}", self.base_url))
            .headers(headers.clone())
            .send();
        let answer = timeout(LOOK.min(self.timeouts.first_byte), asking).await;
        answer.is_ok_and(|answer| answer.is_ok_and(|response| !response.status().is_server_error()))
    }

    /// How long until the provider's own limits have room for a request of `tokens`, by what its last answer said.
    pub fn limited_for(&self, tokens: u64) -> Duration {
        let told = *self.remaining.lock();
        told.map_or(Duration::ZERO, |(remaining, at)| {
            remaining.wait_for(tokens).saturating_sub(at.elapsed())
        })
    }

    /// What the last answer said was left of the provider's limits, where it said anything.
    pub fn remaining(&self) -> Option<Remaining> {
        self.remaining.lock().map(|(remaining, _)| remaining)
    }

    fn note(&self, remaining: Remaining) {
        if remaining != Remaining::default() {
            *self.remaining.lock() = Some((remaining, Instant::now()));
        }
    }

    /// Sends a request, and waits for an answer that is no error.
    async fn send(
        &self,
        request: HttpRequest,
        end: Instant,
        limit: Duration,
    ) -> Result<Response, ProviderError> {
        let url = format!("{}{}", self.base_url, request.path);
        let sending = self
            .client()?
            .post(url)
            .headers(request.headers)
            .body(request.body)
            .send();
        let first_byte = self.timeouts.first_byte.min(limit);
        let response = match timeout_at(end, timeout(first_byte, sending)).await {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(error))) => return Err(unreachable(&error)),
            Ok(Err(_)) | Err(_) => return Err(too_late(first_byte)),
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        self.note(self.provider.remaining(&headers));
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.fault(response, status, &headers, end).await)
        }
    }

    async fn fault(
        &self,
        response: Response,
        status: u16,
        headers: &HeaderMap,
        end: Instant,
    ) -> ProviderError {
        // The status counts even where the body does not come.
        let body = self
            .body(response, LARGEST_FAULT, end)
            .await
            .unwrap_or_default();
        self.provider
            .fault(status, headers, &body, SystemTime::now())
    }

    async fn body(
        &self,
        mut response: Response,
        most: usize,
        end: Instant,
    ) -> Result<Vec<u8>, ProviderError> {
        if response
            .content_length()
            .is_some_and(|told| told > most as u64)
        {
            return Err(too_long(most));
        }
        let mut body = Vec::new();
        while let Some(bytes) = self
            .chunk(&mut response, self.timeouts.between_bytes, end)
            .await?
        {
            if body.len() + bytes.len() > most {
                return Err(too_long(most));
            }
            body.extend_from_slice(&bytes);
        }
        Ok(self.redact.body(body))
    }

    /// The next bytes of a body; none at its end.
    async fn chunk(
        &self,
        response: &mut Response,
        patience: Duration,
        end: Instant,
    ) -> Result<Option<Bytes>, ProviderError> {
        match timeout_at(end, timeout(patience, response.chunk())).await {
            Ok(Ok(Ok(bytes))) => Ok(bytes),
            Ok(Ok(Err(error))) => Err(unreachable(&error)),
            Ok(Err(_)) => Err(too_late(patience)),
            Err(_) => Err(too_late(self.timeouts.total)),
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
        // A server of one's own without TLS needs no authorities: they are 300 KiB of memory.
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
            .pool_max_idle_per_host(self.idle);
        client.build().map_err(|error| {
            format!(
                "no HTTP client could be made: {}",
                connect_error::why(&error)
            )
        })
    }
}

/// Hands a piece on; one that nobody takes is dropped.
async fn give(
    pieces: &Sender<AnswerPiece>,
    piece: AnswerPiece,
    end: Instant,
) -> Result<(), ProviderError> {
    if piece.is_empty() {
        return Ok(());
    }
    match timeout_at(end, pieces.send(piece)).await {
        Ok(Ok(()) | Err(_)) => Ok(()),
        Err(_) => Err(ProviderError::Unreachable {
            why: "the pieces of the answer were not taken in time".to_owned(),
        }),
    }
}

/// True where a server that was asked for a stream answers all at once, as some do.
fn is_whole(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

fn too_long(most: usize) -> ProviderError {
    ProviderError::Malformed {
        why: format!("longer than {} KiB", most >> 10),
    }
}

fn speaker(settings: &Settings, url: &Url) -> Result<Box<dyn Provider>, UnsendableKey> {
    Ok(match settings.api {
        Api::OpenAi => Box::new(OpenAi::new(settings, url)?),
        Api::Anthropic => Box::new(Anthropic::new(settings)?),
        Api::Gemini => Box::new(Gemini::new(settings)?),
        Api::Ollama => Box::new(Ollama::new(settings)?),
    })
}

fn too_late(limit: Duration) -> ProviderError {
    ProviderError::Unreachable {
        why: format!("no answer within {:.1} s", limit.as_secs_f64()),
    }
}

fn unreachable(error: &reqwest::Error) -> ProviderError {
    ProviderError::Unreachable {
        why: connect_error::why(error),
    }
}
