//! The bare program: for each command one HTTP call over a connection kept alive, then the two
//! messages sayso would publish.

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;

use crate::client::options;
use crate::{BARE, BenchError};

/// The argument that makes this program the bare one.
pub(crate) const ROLE: &str = "bare-program";

/// Serves until the process is killed.
pub(crate) fn run(broker: &str, model: &str) -> Result<(), BenchError> {
    let broker = broker.parse()?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve(broker, model.to_owned()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is compared with has no part of ours"
)]
async fn serve(broker: u16, model: String) -> Result<(), BenchError> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| "TLS is set up twice")?;
    let http = reqwest::Client::builder()
        .tcp_nodelay(true)
        .no_proxy()
        .build()?;
    let (client, mut events) = AsyncClient::new(options("bare-program", broker), 4096);
    client.try_subscribe(format!("{BARE}/command/+"), QoS::AtLeastOnce)?;
    let url = format!("http://127.0.0.1:{model}/v1/chat/completions");
    let mut calls = JoinSet::new();
    loop {
        let Event::Incoming(Packet::Publish(command)) = events.poll().await? else {
            continue;
        };
        while calls.try_join_next().is_some() {}
        let (http, client, url) = (http.clone(), client.clone(), url.clone());
        calls.spawn(async move { drop(answer(&http, &client, &url, &command.payload).await) });
    }
}

async fn answer(
    http: &reqwest::Client,
    client: &AsyncClient,
    url: &str,
    command: &[u8],
) -> Result<(), BenchError> {
    let command: Json = serde_json::from_slice(command)?;
    let text = command["text"].as_str().unwrap_or_default();
    let body = json!({"model": "m", "messages": [{"role": "user", "content": format!("command: {text}")}]}).to_string();
    let response = http
        .post(url)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await?;
    let body: Json = serde_json::from_slice(&response.bytes().await?)?;
    let draft: Json = serde_json::from_str(
        body["choices"][0]["message"]["content"]
            .as_str()
            .unwrap_or_default(),
    )?;
    let device = draft["actions"][0]["device"].as_str().unwrap_or_default();
    client.try_publish(
        format!("baredevices/{device}/set"),
        QoS::AtLeastOnce,
        false,
        r#"{"state":"ON"}"#,
    )?;
    let reply = json!({"id": command["id"], "text": text, "outcome": "done", "actions": draft["actions"], "speech": "Done.", "via": "model", "ms": 0.1});
    client.try_publish(
        format!("{BARE}/reply/load"),
        QoS::AtLeastOnce,
        false,
        reply.to_string(),
    )?;
    Ok(())
}
