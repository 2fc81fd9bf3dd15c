//! Names in fleet files: groups that have one of their own, and hosts and groups that are called by theirs.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::reader::{Reader, Section};
use super::MOST_GROUPS;
use crate::fleet::{GuestGroup, HostGroup, HostPlace};

const NAME: &str = "1 to 64 letters, digits, `-`, `_` or `.`";

impl<'t> Reader<'t> {
    /// Groups of one kind, each of another name; one that could not be read is none.
    pub(super) fn fleet_groups<T: Named>(
        &mut self,
        fleet: &Section<'_, 't>,
        key: &'static str,
        read: impl Fn(&mut Self, &DeTable<'t>, Range<usize>) -> Option<T>,
    ) -> Vec<Option<T>> {
        self.require(fleet, key, &format!("tables, each written as [[fleet.{key}]]"));
        let mut groups: Vec<Option<T>> = Vec::new();
        for value in self.tables(fleet, key, MOST_GROUPS) {
            let group = value.get_ref().as_table().and_then(|table| read(self, table, value.span()));
            if let Some(name) = group.as_ref().map(Named::name)
                && groups.iter().flatten().any(|earlier| earlier.name() == name)
            {
                let message = format!("a second group `{name}` of `fleet.{key}`");
                self.report(value.span(), message, "give each group a name of its own".to_owned());
            }
            groups.push(group);
        }
        groups
    }

    pub(super) fn host_groups(
        &mut self,
        section: &Section<'_, 't>,
        key: &'static str,
        hosts: &[Option<HostGroup>],
    ) -> Option<Vec<usize>> {
        self.require(section, key, "a list of names of groups of hosts");
        let names = self.texts(section, key)?;
        names.iter().map(|name| self.group_called(section, key, name, hosts)).collect()
    }

    pub(super) fn group_called(
        &mut self,
        section: &Section<'_, 't>,
        key: &'static str,
        name: &str,
        hosts: &[Option<HostGroup>],
    ) -> Option<usize> {
        let found = hosts.iter().position(|group| group.as_ref().is_some_and(|group| group.name == name));
        // A group with mistakes may be the one that is meant.
        if found.is_none() && hosts.iter().all(Option::is_some) {
            let names = hosts.iter().flatten().map(|group| format!("`{}`", group.name));
            let names: Vec<String> = names.collect();
            let message = format!("no group of hosts is called `{}`", name.escape_debug());
            self.report_at(section, key, message, format!("there are {}", names.join(", ")));
        }
        found
    }

    /// A host by its name, which is its group's and its number from 1.
    pub(super) fn host_called(
        &mut self,
        section: &Section<'_, 't>,
        key: &'static str,
        hosts: &[Option<HostGroup>],
    ) -> Option<HostPlace> {
        let (name, span) = self.text(section, key, "a host, such as `rack-1`")?;
        let place = hosts.iter().enumerate().find_map(|(group, hosts)| {
            let hosts = hosts.as_ref()?;
            let number: u64 = name.strip_prefix(&hosts.name)?.strip_prefix('-')?.parse().ok()?;
            let index = usize::try_from(number.checked_sub(1)?).ok()?;
            (number <= hosts.count).then_some(HostPlace { group, index })
        });
        if place.is_none() && hosts.iter().all(Option::is_some) {
            let message = format!("no host is called `{}`", name.escape_debug());
            self.report(span, message, "a host is called after its group, with its number from 1".to_owned());
        }
        place
    }

    pub(super) fn fleet_name(&mut self, section: &Section<'_, 't>) -> Option<String> {
        self.require(section, "name", NAME);
        let (name, span) = self.text(section, "name", NAME)?;
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let good = (1..=64).contains(&name.len()) && name.chars().all(fits);
        if !good {
            self.report(span, "`name` cannot be used as a name".to_owned(), format!("it must be {NAME}"));
        }
        good.then_some(name)
    }

    pub(super) fn fleet_table<T>(
        &mut self,
        section: &Section<'_, 't>,
        key: &'static str,
        read: impl FnOnce(&mut Self, &DeTable<'t>, Range<usize>) -> T,
    ) -> Option<T> {
        let value: &Spanned<DeValue<'t>> = self.table(section, key)?;
        value.get_ref().as_table().map(|table| read(self, table, value.span()))
    }
}

/// What has a name that must be its own.
pub(super) trait Named {
    fn name(&self) -> &str;
}

impl Named for HostGroup {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Named for GuestGroup {
    fn name(&self) -> &str {
        &self.name
    }
}
