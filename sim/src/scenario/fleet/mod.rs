//! Fleet files, read with the same reader as files of one migration: which keys there are, their bounds and defaults.
//!
//! ```toml
//! name = "empty-the-old-racks"          # required
//! description = "what it shows"
//! seed = 1                              # default 1
//!
//! [fleet]                               # required; it makes the file a fleet's
//! latency_us = 100                      # one way between any two hosts; default 200
//!
//! [[fleet.hosts]]                       # required; hosts are called old-1, old-2 and so on
//! name = "old"                          # required
//! count = 100                           # required; up to 10000
//! memory_mib = 262144                   # required; what guests can use of each
//! card_mib_per_second = 2980            # required; of each, in each direction
//! uplink_mib_per_second = 11900         # shared on the way to other groups; default: none
//!
//! [[fleet.guests]]                      # required; guests are called web-1, web-2 and so on
//! name = "web"                          # required
//! count = 6000                          # required; up to 100000
//! on = "old"                            # required; a group of hosts
//! spread = "even"                       # or "packed"; default "even"
//! memory_mib = 2048                     # required
//! working_set_mib = 128                 # required; at most memory_mib - 16
//! filled_mib = 1024                     # default: the working set
//! writes_per_second = 2000              # required
//!
//! [fleet.evacuation]                    # required
//! from = ["old"]                        # required; groups of hosts
//! to = ["new"]                          # required; others
//! at_once = 200                         # required; migrations in all
//! at_once_per_source = 4                # default: as `at_once`
//! at_once_per_destination = 4           # default: as `at_once`
//! order = "listed"                      # or another word of `Order`; default "listed"
//! attempts = 2                          # default 1
//! rest_ms = 60000                       # a host that made a migration fail is left alone; default 60000
//!
//! [migration]                           # of each guest
//! bandwidth_limit_mib_per_second = 500  # default: none
//! downtime_limit_ms = 300               # default: QEMU's 300
//! timeout_ms = 600000                   # default 600000
//! at_timeout = "cancel"                 # or "pause", "postcopy"; default "cancel"
//! auto_converge = false                 # default false
//! poll_interval_ms = 1000               # default 1000
//!
//! [[fault]]                             # as many as needed
//! at_ms = 5000                          # required; since the evacuation began
//! do = "lose-host"                      # required; or another word of `HostFault`
//! host = "new-3"                        # required
//! other = "old-1"                       # the other end of a link
//!
//! [expect]
//! moved_at_least = 10000                # default: every guest
//! within_ms = 3600000                   # default: no limit
//! ```

mod names;

use std::ops::{Range, RangeInclusive};

use toml::de::DeTable;
use whimbrel_core::AtTimeout;

use super::bounds::REGION_START_MIB;
use super::error::ScenarioError;
use super::reader::{Reader, Section};
use super::sections::read_with;
use crate::fleet::{
    Evacuation, Fleet, FleetExpectation, FleetFault, FleetMigration, GuestGroup, HostFault, HostGroup, Order,
    Spread,
};

const MOST_GROUPS: usize = 1_000;
const MOST_HOSTS: u64 = 10_000;
const MOST_GUESTS: u64 = 100_000;
const MEMORY_MIB: RangeInclusive<u64> = 32..=1 << 20;
const HOST_MEMORY_MIB: RangeInclusive<u64> = 32..=1 << 26;
const BANDWIDTH_MIB: RangeInclusive<u64> = 1..=10_000_000;
/// A week.
const MOST_MS: u64 = 604_800_000;
const TIMEOUTS: [(&str, AtTimeout); 3] =
    [("cancel", AtTimeout::Cancel), ("pause", AtTimeout::Pause), ("postcopy", AtTimeout::Postcopy)];

impl Fleet {
    /// Whether a file's text is a fleet's: it has a table `[fleet]`.
    #[must_use]
    pub fn is_described_by(text: &str) -> bool {
        DeTable::parse_recoverable(text).0.get_ref().contains_key("fleet")
    }

    /// Reads a fleet file's text; `file_name` only serves the messages.
    ///
    /// # Errors
    /// Everything that is wrong with the text at once, each with its place and what is allowed.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ScenarioError> {
        read_with(text, Reader::fleet).map_err(|problems| ScenarioError::new(file_name, problems))
    }
}

impl<'t> Reader<'t> {
    fn fleet(&mut self, document: &DeTable<'t>) -> Option<Fleet> {
        const KEYS: [&str; 7] = ["name", "description", "seed", "fleet", "migration", "fault", "expect"];
        let top = self.section("", document, 0..0, &KEYS);
        let name = self.fleet_name(&top);
        let description = self.text(&top, "description", "a string").map(|(text, _)| text);
        let seed = self.whole(&top, "seed", 0..=i64::MAX.unsigned_abs());
        let migration = self.fleet_table(&top, "migration", Self::fleet_migration);
        self.require(&top, "fleet", "a table, written as [fleet]");
        let table = self.table(&top, "fleet")?;
        let fleet = self.section(
            "fleet.",
            table.get_ref().as_table()?,
            table.span(),
            &["latency_us", "hosts", "guests", "evacuation"],
        );
        let latency_us = self.whole(&fleet, "latency_us", 0..=60_000_000).unwrap_or(200);
        let hosts = self.fleet_groups(&fleet, "hosts", Self::host_group);
        let guests = self
            .fleet_groups(&fleet, "guests", |reader, table, span| reader.guest_group(table, span, &hosts));
        self.require(&fleet, "evacuation", "a table, written as [fleet.evacuation]");
        let evacuation = self.fleet_table(&fleet, "evacuation", |reader, table, span| {
            reader.fleet_evacuation(table, span, &hosts, migration.unwrap_or_default())
        });
        let mut faults = Vec::new();
        for table in self.tables(&top, "fault", MOST_GROUPS) {
            let fault = table.get_ref().as_table();
            faults.extend(fault.and_then(|fault| self.host_fault(fault, table.span(), &hosts)));
        }
        let expect = self.fleet_table(&top, "expect", Self::fleet_expectation);
        // A group that could not be read was reported, and so would be whatever follows from that.
        let hosts = hosts.into_iter().collect::<Option<Vec<_>>>()?;
        let guests = guests.into_iter().collect::<Option<Vec<_>>>()?;
        let fleet_read = Fleet {
            name: name?,
            description: description.unwrap_or_default(),
            seed: seed.unwrap_or(1),
            latency_us,
            hosts,
            guests,
            evacuation: evacuation??,
            faults,
            expect: expect.unwrap_or_default(),
        };
        self.check_sizes(&fleet, &fleet_read);
        Some(fleet_read)
    }

    /// What only shows in all groups together.
    fn check_sizes(&mut self, fleet: &Section<'_, 't>, read: &Fleet) {
        let hosts: u64 = read.hosts.iter().map(|group| group.count).sum();
        if hosts > MOST_HOSTS {
            let message = format!("{hosts} hosts in all");
            self.report_at(fleet, "hosts", message, format!("there may be at most {MOST_HOSTS}"));
        }
        let guests: u64 = read.guests.iter().map(|group| group.count).sum();
        if guests > MOST_GUESTS {
            let message = format!("{guests} guests in all");
            self.report_at(fleet, "guests", message, format!("there may be at most {MOST_GUESTS}"));
        }
        if hosts > MOST_HOSTS || guests > MOST_GUESTS {
            return;
        }
        if let Err(no_room) = read.check_room()
            && let Some(group) = read.guests.get(no_room.guests)
        {
            let message =
                format!("the hosts have memory for {} of {} `{}`", no_room.fit, group.count, group.name);
            self.report_at(
                fleet,
                "guests",
                message,
                "allow more memory, more hosts or fewer guests".to_owned(),
            );
        }
    }

    fn host_group(&mut self, table: &DeTable<'t>, span: Range<usize>) -> Option<HostGroup> {
        const KEYS: [&str; 5] =
            ["name", "count", "memory_mib", "card_mib_per_second", "uplink_mib_per_second"];
        let hosts = self.section("fleet.hosts.", table, span, &KEYS);
        let name = self.fleet_name(&hosts);
        let count = self.required_whole(&hosts, "count", 1..=MOST_HOSTS);
        let memory_mib = self.required_whole(&hosts, "memory_mib", HOST_MEMORY_MIB);
        let card = self.required_whole(&hosts, "card_mib_per_second", BANDWIDTH_MIB);
        let uplink_mib_per_second = self.whole(&hosts, "uplink_mib_per_second", BANDWIDTH_MIB);
        Some(HostGroup {
            name: name?,
            count: count?,
            memory_mib: memory_mib?,
            card_mib_per_second: card?,
            uplink_mib_per_second,
        })
    }

    fn guest_group(
        &mut self,
        table: &DeTable<'t>,
        span: Range<usize>,
        hosts: &[Option<HostGroup>],
    ) -> Option<GuestGroup> {
        const KEYS: [&str; 8] = [
            "name",
            "count",
            "on",
            "spread",
            "memory_mib",
            "working_set_mib",
            "filled_mib",
            "writes_per_second",
        ];
        let guests = self.section("fleet.guests.", table, span, &KEYS);
        let name = self.fleet_name(&guests);
        let count = self.required_whole(&guests, "count", 1..=MOST_GUESTS);
        self.require(&guests, "on", "the name of a group of hosts");
        let on = self.text(&guests, "on", "the name of a group of hosts");
        let on = on.and_then(|(name, _)| self.group_called(&guests, "on", &name, hosts));
        let spread = if guests.has("spread") { self.word(&guests, "spread", &Spread::WORDS) } else { None };
        let memory_mib = self.required_whole(&guests, "memory_mib", MEMORY_MIB);
        let room_mib = memory_mib.unwrap_or(*MEMORY_MIB.end()) - REGION_START_MIB;
        let working_set_mib = self.required_whole(&guests, "working_set_mib", 1..=room_mib);
        let filled_mib = self.whole(&guests, "filled_mib", 0..=room_mib);
        let writes = self.required_whole(&guests, "writes_per_second", 0..=1_000_000_000);
        Some(GuestGroup {
            name: name?,
            count: count?,
            on: on?,
            spread: spread.unwrap_or_default(),
            memory_mib: memory_mib?,
            filled_mib: filled_mib.unwrap_or(working_set_mib?),
            working_set_mib: working_set_mib?,
            writes_per_second: writes?,
        })
    }

    fn fleet_evacuation(
        &mut self,
        table: &DeTable<'t>,
        span: Range<usize>,
        hosts: &[Option<HostGroup>],
        migration: FleetMigration,
    ) -> Option<Evacuation> {
        const KEYS: [&str; 8] = [
            "from",
            "to",
            "at_once",
            "at_once_per_source",
            "at_once_per_destination",
            "order",
            "attempts",
            "rest_ms",
        ];
        let section = self.section("fleet.evacuation.", table, span, &KEYS);
        let (from, to) = (self.host_groups(&section, "from", hosts), self.host_groups(&section, "to", hosts));
        let at_once = self.required_whole(&section, "at_once", 1..=MOST_GUESTS);
        let per_source = self.whole(&section, "at_once_per_source", 1..=MOST_GUESTS);
        let per_destination = self.whole(&section, "at_once_per_destination", 1..=MOST_GUESTS);
        let order = if section.has("order") { self.word(&section, "order", &Order::WORDS) } else { None };
        let attempts = self.whole(&section, "attempts", 1..=1_000);
        let rest_ms = self.whole(&section, "rest_ms", 0..=MOST_MS);
        let (from, to, at_once) = (from?, to?, at_once?);
        if let Some(group) =
            to.iter().find(|group| from.contains(group)).and_then(|group| hosts.get(*group)?.as_ref())
        {
            let message = format!("`{}` is emptied and takes guests in", group.name);
            self.report_at(&section, "to", message, "name it in `from` or in `to`".to_owned());
        }
        Some(Evacuation {
            from,
            to,
            at_once,
            at_once_per_source: per_source.unwrap_or(at_once),
            at_once_per_destination: per_destination.unwrap_or(at_once),
            order: order.unwrap_or_default(),
            attempts: attempts.unwrap_or(1),
            rest_ms: rest_ms.unwrap_or(60_000),
            migration,
        })
    }

    fn fleet_migration(&mut self, table: &DeTable<'t>, span: Range<usize>) -> FleetMigration {
        const KEYS: [&str; 6] = [
            "bandwidth_limit_mib_per_second",
            "downtime_limit_ms",
            "timeout_ms",
            "at_timeout",
            "auto_converge",
            "poll_interval_ms",
        ];
        let section = self.section("migration.", table, span, &KEYS);
        let usual = FleetMigration::default();
        let at_timeout =
            if section.has("at_timeout") { self.word(&section, "at_timeout", &TIMEOUTS) } else { None };
        let mut options = usual.transfer;
        options.auto_converge = self.truth(&section, "auto_converge").unwrap_or(false);
        options.postcopy = at_timeout == Some(AtTimeout::Postcopy);
        FleetMigration {
            bandwidth_limit_mib_per_second: self.whole(
                &section,
                "bandwidth_limit_mib_per_second",
                1..=1_000_000,
            ),
            downtime_limit_ms: self.whole(&section, "downtime_limit_ms", 1..=2_000_000),
            timeout_ms: self.whole(&section, "timeout_ms", 1..=MOST_MS).unwrap_or(usual.timeout_ms),
            at_timeout: at_timeout.unwrap_or_default(),
            transfer: options,
            poll_interval_ms: self
                .whole(&section, "poll_interval_ms", 10..=60_000)
                .unwrap_or(usual.poll_interval_ms),
        }
    }

    fn host_fault(
        &mut self,
        table: &DeTable<'t>,
        span: Range<usize>,
        hosts: &[Option<HostGroup>],
    ) -> Option<FleetFault> {
        let fault = self.section("fault.", table, span, &["at_ms", "do", "host", "other"]);
        let at_ms = self.required_whole(&fault, "at_ms", 0..=MOST_MS);
        let what = self.word(&fault, "do", &HostFault::WORDS);
        self.require(&fault, "host", "a host, such as `rack-1`");
        let host = self.host_called(&fault, "host", hosts);
        let other = self.host_called(&fault, "other", hosts);
        let (at_ms, what) = (at_ms?, what?);
        if what.has_two_ends() != fault.has("other") {
            let message = "`fault.other` is for links, which have two ends".to_owned();
            self.report_at(
                &fault,
                "other",
                message,
                "name it with `cut-link` and `restore-link` only".to_owned(),
            );
        }
        Some(FleetFault { at_ms, what, host: host?, other })
    }

    fn fleet_expectation(&mut self, table: &DeTable<'t>, span: Range<usize>) -> FleetExpectation {
        let section = self.section("expect.", table, span, &["moved_at_least", "within_ms"]);
        FleetExpectation {
            moved_at_least: self.whole(&section, "moved_at_least", 0..=MOST_GUESTS),
            within_ms: self.whole(&section, "within_ms", 1..=MOST_MS),
        }
    }
}
