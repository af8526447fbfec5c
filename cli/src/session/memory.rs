//! What the system says about memory.

use bytesize::ByteSize;
use sysinfo::{MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate, System};

/// [`program`] is a multiple of this, so that the same run is planned the same way each time.
const STEP: u64 = 4 << 20;

/// Bytes that the program itself takes, rounded up.
///
/// Asked once model and data are open and before anything exists that a plan counts: the adapter,
/// the optimizer's state, the engine. 0 where the system does not say.
pub fn program() -> u64 {
    resident().unwrap_or(0).next_multiple_of(STEP)
}

/// Bytes that this process has resident now; none where the system does not say.
fn resident() -> Option<u64> {
    let pid = sysinfo::get_current_pid().ok()?;
    let mut system = System::new();
    let kind = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, kind);
    Some(system.process(pid)?.memory())
}

/// Bytes that programs can have without the system swapping, within this process's limits.
pub fn available() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let available = system.available_memory();
    let limits = system.cgroup_limits().map(|limits| limits.free_memory);
    // Systems that do not say report zero.
    (available > 0).then(|| limits.unwrap_or(available).min(available))
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    ByteSize(bytes).display().iec().to_string()
}
