//! Declared devices without a binding, which take over how an announced device of the same name is
//! commanded.

use std::collections::HashMap;

use crate::home::device::Device;
use crate::vocabulary::slug::Slug;

use crate::discovery::names;
use crate::discovery::registry::compose::DevicePart;

/// Declared devices that are still without a binding.
pub(super) struct Adoption {
    /// Indexes of the devices by their identifier.
    unbound: HashMap<Slug, usize>,
}

impl Adoption {
    pub(super) fn new(declared: &[Device]) -> Self {
        let mut unbound = HashMap::new();
        for (index, device) in declared.iter().enumerate() {
            let is_bound = device
                .capabilities
                .iter()
                .any(|c| c.command_topics().next().is_some());
            if !is_bound {
                unbound.insert(device.id.clone(), index);
            }
        }
        Self { unbound }
    }

    /// Returns the devices that the operator bound to something nobody announces, in the order of
    /// the home file, each as a sentence.
    pub(super) fn unmet(&self, declared: &[Device]) -> Vec<String> {
        let mut waiting: Vec<usize> = self.unbound.values().copied().collect();
        waiting.sort_unstable();
        let sentence = |index: usize| {
            let device = &declared[index];
            let source = device.announced.as_deref()?;
            Some(format!(
                "`{}` in home.toml is bound to `{source}`, which nothing announces: commands to \
                 it are refused; correct `announced`, or let the device announce itself (retained)",
                device.id
            ))
        };
        waiting.into_iter().filter_map(sentence).collect()
    }

    /// Returns the index of the declared device that takes over `part`: the one that the operator
    /// bound to it, or the one of the same name. The first announcement of a name is taken over,
    /// and a later one never takes its place. A name alone is not enough for a device that lets
    /// somebody in, because anybody who may announce devices can choose it.
    pub(super) fn claim(
        &mut self,
        part: &DevicePart,
        declared: &[Device],
        conflicts: &mut Vec<String>,
    ) -> Option<usize> {
        let named = self.unbound.iter().find(|(_, index)| {
            let source = declared[**index].announced.as_deref();
            source.is_some_and(|source| is_source(part, source))
        });
        if let Some(id) = named.map(|(id, _)| id.clone()) {
            return self.unbound.remove(&id);
        }
        let id = names::slug(&part.device.name)?;
        let index = *self.unbound.get(&id)?;
        let device = &declared[index];
        if device.announced.is_some() {
            return None;
        }
        if device.is_entrance_by_class() || part.device.is_entrance_by_class() {
            conflicts.push(format!(
                "`{id}` in home.toml is not bound to the device of the same name that `{}` \
                 announces, because it lets somebody \
                 in: add `announced = \"{}\"` to it if they are the same",
                part.topic, part.topic
            ));
            return None;
        }
        self.unbound.remove(&id)
    }
}

/// Gives a declared device the capabilities of an announced one. It keeps its name, area, type and
/// risks.
pub(super) fn bind(declared: &mut Device, announced: Device) {
    // A class of the operator's is more than a name that sounds like a gate.
    let is_guess = announced.is_door() && announced.class.is_none() && declared.class.is_some();
    let mut capabilities = announced.capabilities;
    for capability in &mut capabilities {
        // The stricter risk holds unless the operator chose one: the announcement may know that it
        // is a gate.
        if let Some(own) = declared.capability(&capability.property) {
            capability.guard = capability.guard.max(own.guard);
        }
    }
    if declared.class.is_none() {
        declared.class = announced.class;
    }
    declared.capabilities = capabilities;
    declared.availability = announced.availability;
    declared.members.learn(announced.members);
    declared.bridge_id = announced.bridge_id;
    if is_guess {
        declared.apply_default_guards();
    } else {
        declared.raise_to_default_guards();
    }
    declared.apply_operator_risks();
}

/// Returns whether `source` names the announcement: by its topic, or by the identity of the
/// physical device.
fn is_source(part: &DevicePart, source: &str) -> bool {
    part.topic == source || part.unique == names::address(source)
}
