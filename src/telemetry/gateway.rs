//! The names of a gateway among several, for the log, health and metrics.

/// The names that distinguish a gateway from others, where there are several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayNames {
    /// The site, if gateways share a Redis.
    pub site: Option<String>,
    /// The node of a pair or of a site.
    pub node: Option<String>,
}

impl GatewayNames {
    /// Returns the names with those of their fields.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let fields = [("site", &self.site), ("node", &self.node)];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}
