//! Secrets in addresses: the login, and the values of the query. Pure.

/// Text that replaces a secret.
pub const REMOVED: &str = "***";

/// A text without secrets, and the secrets that were in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redacted {
    /// The text, with [`REMOVED`] in place of each secret.
    pub text: String,
    /// The secrets, in the order of the text.
    pub removed: Vec<String>,
}

impl Redacted {
    fn remove(&mut self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        self.text.push_str(REMOVED);
        // A text may have been redacted before.
        if secret != REMOVED {
            self.removed.push(secret.to_owned());
        }
    }

    /// Appends a word, which may be an address.
    fn push_word(&mut self, word: &str) {
        let is_closing = |c| matches!(c, '\'' | ',' | ';' | ')' | ']' | '}' | '\\' | '.');
        let address = word.trim_end_matches(is_closing);
        let rest = match address.split_once("://") {
            Some((scheme, rest)) => {
                self.text.push_str(scheme);
                self.text.push_str("://");
                self.push_login(rest)
            }
            None => self.push_bare_login(address),
        };
        self.push_query(rest);
        self.text.push_str(&word[address.len()..]);
    }

    /// Appends the address without its login and returns the part behind it. A password may contain
    /// an unescaped `/`, `?` or `@`, so the last `@` counts.
    fn push_login<'a>(&mut self, address: &'a str) -> &'a str {
        let Some((login, rest)) = address.rsplit_once('@') else {
            return address;
        };
        if let Some((user, password)) = login.split_once(':') {
            self.text.push_str(user);
            self.text.push(':');
            self.remove(password);
        } else {
            // A token may stand in place of the user name.
            self.remove(login);
        }
        self.text.push('@');
        rest
    }

    /// Appends an address without a scheme in the same way, where only `user:password@host` has a
    /// secret.
    fn push_bare_login<'a>(&mut self, address: &'a str) -> &'a str {
        let is_login = address
            .rsplit_once('@')
            .is_some_and(|(login, _)| login.contains(':'));
        if is_login {
            self.push_login(address)
        } else {
            address
        }
    }

    /// Appends the rest of an address without the values of its query and fragment.
    fn push_query(&mut self, rest: &str) {
        let start = rest.find(['?', '#']).unwrap_or(rest.len());
        let (path, query) = rest.split_at(start);
        self.text.push_str(path);
        for part in query.split_inclusive(['?', '&', '#']) {
            let end = part.trim_end_matches(['?', '&', '#']);
            if let Some((name, value)) = end.split_once('=') {
                self.text.push_str(name);
                self.text.push('=');
                self.remove(value);
            } else {
                self.text.push_str(end);
            }
            self.text.push_str(&part[end.len()..]);
        }
    }
}

/// Returns a text in which no address has a login or a value in its query.
pub fn without_credentials(text: &str) -> Redacted {
    let mut redacted = Redacted::default();
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '`' | '<' | '>');
    for part in text.split_inclusive(is_end) {
        let word = part.trim_end_matches(is_end);
        redacted.push_word(word);
        redacted.text.push_str(&part[word.len()..]);
    }
    redacted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn logins_and_query_values_are_removed() {
        for (text, clean) in [
            (
                "found `\"http://user:PASS@127.0.0.1:9/v1?key=KEY&a=B\"`, expected",
                "found `\"http://user:***@127.0.0.1:9/v1?key=***\
                 &a=***\"`, expected",
            ),
            (
                "url=redis://u:P/A?S@S@localhost,",
                "url=redis://u:***@localhost,",
            ),
            ("redis://:PW@h", "redis://:***@h"),
            ("https://TOKEN@h/v1", "https://***@h/v1"),
            ("u:PW@localhost:6379", "u:***@localhost:6379"),
            ("redis:/u:PW@h", "redis:***@h"),
            ("h/v1?key=KEY'", "h/v1?key=***'"),
            ("{\\\"http://h?k=KEY\\\"}", "{\\\"http://h?k=***\\\"}"),
            ("https://h/#token=KEY", "https://h/#token=***"),
        ] {
            assert_eq!(without_credentials(text).text, clean, "{text}");
        }
    }

    #[test]
    fn other_texts_remain() {
        for text in [
            "",
            "sayso.toml:3: mqtt.port: found `99999`, did you mean `port`?\n",
            "root@host.service: started at 12:30:00",
            "an address such as \"redis://redis.local:6379\", or \"rediss://..\" for TLS",
            "see https://example.org/page#part for more.",
        ] {
            let redacted = without_credentials(text);
            assert_eq!(redacted.text, text);
            assert_eq!(redacted.removed, Vec::<String>::new());
        }
    }

    proptest! {
        #[test]
        fn no_password_of_an_address_remains(
            password in "[A-Z0-9:/?#@&=%!$*+~|^-]{0,20}QXZ[A-Z0-9:/?#@&=%!$*+~|^-]{0,20}",
            before in "[a-z \"(]{0,10}", after in "[/a-z]{0,10}",
        ) {
            let text = format!("{before} http://u:{password}@h{after} end");
            let redacted = without_credentials(&text);
            prop_assert!(!redacted.text.contains("QXZ"), "{}", redacted.text);
            prop_assert!(redacted.text.ends_with(" end"));
            let again = without_credentials(&redacted.text);
            prop_assert_eq!(&again.text, &redacted.text);
            prop_assert!(again.removed.is_empty(), "{:?}", again.removed);
        }
    }
}
