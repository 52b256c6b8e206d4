//! Two daemons whose devices lead to each other: a command circulates a few times and is then
//! refused with the reason.

use crate::broker::Broker;
use crate::daemon::{Daemon, Place};
use crate::listener::Listener;
use crate::scene::PATIENCE;

/// One whose only device is a sayso with the other prefix.
async fn sayso(port: u16, prefix: &str, other: &str) -> (Place, Daemon) {
    let config = format!(
        "[mqtt]\nhost = \"127.0.0.1\"\nport = {port}\nclient_id = \"{prefix}\"\nprefix = \"{prefix}\"\n"
    );
    let home = format!(
        "[device.pump]\nkind = \"pump\"\n[device.pump.property.flow]\nrange = [0, 40]\ncommand_topic = \"{other}/command/{prefix}\"\ncommand_template = \"set the pump flow to {{{{ value }}}}\"\n"
    );
    let place = Place::new(&config, &home);
    let daemon = Daemon::start(&place);
    daemon.says("connected to the broker", PATIENCE).await;
    (place, daemon)
}

#[tokio::test]
async fn a_command_that_circulates_between_two_daemons_is_refused_with_the_reason() {
    let broker = Broker::mosquitto().await;
    let mut listener = Listener::connect(broker.port());
    listener.subscribe("+/command/+").await;
    listener.subscribe("+/reply/+").await;
    let (_one, log) = sayso(broker.port(), "one", "two").await;
    let _two = sayso(broker.port(), "two", "one").await;
    listener
        .publish("one/command/test", "set the pump flow to 7")
        .await;
    let told = listener
        .wait_for(|m| m.json()["why"] == "malformed", PATIENCE)
        .await;
    let told = told
        .unwrap_or_else(|| unreachable!("it goes on:\n{}", log.log()))
        .json();
    assert!(
        told["speech"]
            .as_str()
            .unwrap()
            .contains("passed through sayso 4 times"),
        "{told}"
    );
    let said = listener
        .heard()
        .await
        .iter()
        .filter(|m| m.topic.contains("/command/"))
        .count();
    assert_eq!(said, 5, "once by us, four times by one of them");
}
