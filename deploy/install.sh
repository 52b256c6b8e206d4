#!/usr/bin/env bash
# Installs sayso on this machine: the program, its units and the default config. Run it as root from the repository, after
# `cargo build --release --package sayso`. Existing files in /etc/sayso are not changed.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ]; then
    echo "install.sh: run it as root: sudo bash deploy/install.sh" >&2
    exit 1
fi
binary=${1:-target/release/sayso}
if [ ! -x "$binary" ]; then
    echo "install.sh: $binary does not exist: run cargo build --release --package sayso, or give the program as the first argument" >&2
    exit 1
fi

install -D -m 755 "$binary" /usr/bin/sayso
install -D -m 644 -t /etc/systemd/system systemd/sayso.service systemd/sayso-failed.service
install -d -m 755 /etc/sayso
install -d -m 700 /etc/sayso/credentials
if [ -e /etc/sayso/sayso.toml ]; then
    echo "kept /etc/sayso/sayso.toml"
else
    install -m 644 config/sayso.toml /etc/sayso/sayso.toml
fi
# The example home has devices that nobody has, so it is documentation and not the home of this machine.
install -D -m 644 -t /usr/share/doc/sayso/examples config/home.toml deploy/mosquitto/* deploy/prometheus/*
systemctl daemon-reload

cat <<'END'
Installed. Next:
  1. sayso init                       # asks for the broker and a model, tests them and writes the config
  2. systemctl enable --now sayso
  3. sayso doctor
Devices that do not announce themselves: man sayso-home.toml, example in /usr/share/doc/sayso/examples/home.toml
END
