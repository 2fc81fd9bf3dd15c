//! The shipped packs, each with the tables of its rules.

mod access;
mod capacity;
mod coherence;
mod conditions;
mod copying;
mod cpu;
mod definition;
mod device;
mod disk;
mod filesystem;
mod firmware;
mod guest;
mod guests_own;
mod identity;
mod lease;
mod listening;
mod passthrough;
mod paths;
mod place;
mod placement;
mod retarget;
mod secrets;
mod support;
mod supported;
mod switching;
mod tuning;
mod unmigratable;
mod uri;
mod visible;

use whimbrel_facts::FactGroup;

use crate::pack::Pack;

/// Rules about the guest itself and its devices.
pub const GUEST: Pack = Pack {
    name: "whimbrel.guest",
    summary: "The guest's state, what it keeps on its host, and devices that cannot be migrated",
    needs: &[
        FactGroup::Request,
        FactGroup::Guest,
        FactGroup::Source,
        FactGroup::Destination,
        FactGroup::Attributes,
    ],
    rules: &[
        guest::RULES,
        guests_own::RULES,
        passthrough::RULES,
        unmigratable::RULES,
        device::RULES,
        support::RULES,
        conditions::RULES,
    ],
};

/// Rules about both hosts.
pub const HOSTS: Pack = Pack {
    name: "whimbrel.hosts",
    summary: "Hypervisors, CPUs, machine types, the destination's capacity, and what the guest names of its host",
    needs: &[
        FactGroup::Request,
        FactGroup::Guest,
        FactGroup::Source,
        FactGroup::Destination,
        FactGroup::Attributes,
    ],
    rules: &[
        place::RULES,
        cpu::RULES,
        capacity::RULES,
        placement::RULES,
        firmware::RULES,
        paths::RULES,
        secrets::RULES,
    ],
};

/// Rules about the guest's disks.
pub const STORAGE: Pack = Pack {
    name: "whimbrel.storage",
    summary: "Whether each disk is there, is the same one, and is really shared or can be copied",
    needs: &[
        FactGroup::Request,
        FactGroup::Guest,
        FactGroup::Source,
        FactGroup::Destination,
        FactGroup::Storage,
        FactGroup::Attributes,
    ],
    rules: &[identity::RULES, copying::RULES, disk::RULES, filesystem::RULES, lease::RULES],
};

/// Rules about the request, the network, and a changed definition.
pub const REQUEST: Pack = Pack {
    name: "whimbrel.request",
    summary: "Whether the requested options are compatible, networks, and changes that the guest would see",
    needs: &[
        FactGroup::Request,
        FactGroup::Guest,
        FactGroup::Source,
        FactGroup::Destination,
        FactGroup::Attributes,
    ],
    rules: &[
        coherence::RULES,
        tuning::RULES,
        supported::RULES,
        access::RULES,
        uri::RULES,
        switching::RULES,
        listening::RULES,
        retarget::RULES,
        definition::RULES,
    ],
};

/// Every shipped pack, in the order in which they report.
pub const PACKS: &[Pack] = &[GUEST, HOSTS, STORAGE, REQUEST];
