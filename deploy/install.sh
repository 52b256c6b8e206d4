#!/usr/bin/env bash
# Installs sayso on this machine: the binary, its unit, and a configuration to begin with. Run as root, from the
# repository, after `cargo build --release --package sayso`. What is there already in /etc/sayso stays as it is.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "$(id -u)" -ne 0 ]; then
    echo "install.sh: run it as root: sudo bash deploy/install.sh" >&2
    exit 1
fi
binary=${1:-target/release/sayso}
if [ ! -x "$binary" ]; then
    echo "install.sh: $binary is not there: cargo build --release --package sayso, or name the binary as the first argument" >&2
    exit 1
fi

install -D -m 755 "$binary" /usr/bin/sayso
install -D -m 644 -t /etc/systemd/system systemd/sayso.service systemd/sayso-failed.service
install -d -m 755 /etc/sayso
install -d -m 700 /etc/sayso/credentials
for name in sayso.toml home.toml; do
    if [ -e "/etc/sayso/$name" ]; then echo "kept /etc/sayso/$name"; else install -m 644 "config/$name" "/etc/sayso/$name"; fi
done
systemctl daemon-reload

cat <<'END'
Installed. Next:
  1. write your devices into /etc/sayso/home.toml, your broker and models into /etc/sayso/sayso.toml
  2. keys: one file each in /etc/sayso/credentials (mode 600), named by key_file in sayso.toml
  3. sayso check --config /etc/sayso/sayso.toml
  4. systemctl enable --now sayso
END
