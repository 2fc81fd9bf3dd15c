//! The simulated hosts (`sim://`) of the arguments, and `whimbrel sim-server`, which runs them for other processes.

use std::path::PathBuf;

use clap::Args;
use whimbrel_drive::hosts::HostsError;
use whimbrel_sim::Scenario;
use whimbrel_sim::versions::Version;
use whimbrel_sim::world::World;
use whimbrel_simulated::{SimulatedHosts, built_in_world, scenario_world};

use super::{OperatorError, input};
use crate::cli::{CliError, Exit};

/// The heading of the options of simulated hosts.
const SIMULATED: &str = "Simulated hosts (sim://)";

/// The world behind `sim://` hosts.
#[derive(Clone, Debug, Args)]
#[expect(clippy::struct_field_names, reason = "a field is named as its option")]
pub(in crate::cli) struct Simulated {
    /// Simulated seconds per second; 1 by default, or the current speed of --sim-server.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000),
          help_heading = SIMULATED)]
    pub(in crate::cli) sim_speed: Option<u32>,
    /// Scenario file or built-in scenario with the hosts, guest and faults, instead of the built-in world.
    #[arg(long, value_name = "SCENARIO", help_heading = SIMULATED)]
    pub(in crate::cli) sim_scenario: Option<String>,
    /// Seed of the random numbers of the built-in world.
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = SIMULATED)]
    pub(in crate::cli) sim_seed: u64,
    /// Number of extra guests in the built-in world, named guest-001 and so on.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=999),
          help_heading = SIMULATED)]
    pub(in crate::cli) sim_guests: u32,
    /// Version of QEMU on every host, such as 9.2; the scenario's or 7.2.22 by default.
    #[arg(long, value_name = "VERSION", help_heading = SIMULATED)]
    pub(in crate::cli) sim_qemu: Option<Version>,
    /// Version of libvirt on every host, such as 11.3; the scenario's or 9.0.0 by default.
    #[arg(long, value_name = "VERSION", help_heading = SIMULATED)]
    pub(in crate::cli) sim_libvirt: Option<Version>,
    /// Unix socket of a running `whimbrel sim-server`, instead of simulated hosts in this process.
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["sim_scenario", "sim_seed", "sim_guests", "sim_qemu", "sim_libvirt"],
          help_heading = SIMULATED)]
    pub(in crate::cli) sim_server: Option<PathBuf>,
}

/// `whimbrel sim-server`.
#[derive(Debug, Args)]
pub(in crate::cli) struct SimServer {
    /// Path of the Unix socket; it must not exist yet.
    pub(in crate::cli) socket: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) simulated: Simulated,
}

/// The simulated hosts of these arguments: of another process, or started in this one.
pub(super) fn connect(arguments: &Simulated) -> Result<SimulatedHosts, CliError> {
    let Some(socket) = &arguments.sim_server else {
        let speed = arguments.sim_speed.unwrap_or(1);
        let mut world = world(arguments)?;
        world.set_versions(arguments.sim_libvirt, arguments.sim_qemu);
        return SimulatedHosts::start(world, speed).map_err(|error| OperatorError::World(error).into());
    };
    let hosts = SimulatedHosts::at(socket.clone());
    if let Some(speed) = arguments.sim_speed {
        hosts.set_speed(speed).map_err(HostsError::World)?;
    }
    Ok(hosts)
}

pub(super) fn serve(arguments: &SimServer) -> Result<Exit, CliError> {
    let hosts = connect(&arguments.simulated)?;
    whimbrel_simulated::serve(&hosts, &arguments.socket)
        .map_err(|source| OperatorError::Socket { path: arguments.socket.clone(), source })?;
    Ok(Exit::Done)
}

fn world(arguments: &Simulated) -> Result<World, CliError> {
    let Some(name) = &arguments.sim_scenario else {
        return Ok(built_in_world(arguments.sim_seed, arguments.sim_guests));
    };
    let (text, file) = if let Some(text) = Scenario::built_in_text(name) {
        (text.to_owned(), format!("{name}.toml"))
    } else {
        let path = PathBuf::from(name);
        let text = input::text(&path)?;
        (text, name.clone())
    };
    let scenario =
        Scenario::parse(&text, &file).map_err(|error| CliError::Scenario { error, text: text.clone() })?;
    Ok(scenario_world(&scenario))
}
