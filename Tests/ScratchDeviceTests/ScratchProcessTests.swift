import Glibc
import ScratchDevice
import SystemPackage
import TestSupport
import Testing
import VFIOUserServer

/// What belongs to the whole process; runs in one of its own.
@Suite struct `Removal of scratch devices` {
  @Test func `Removed scratch devices leave no thread and no descriptor`() async {
    await #expect(processExitsWith: .success) {
      let turns = 16
      let before = openDescriptors()
      do {
        let servers = try (0..<turns).map { _ in
          try DeviceServer(ScratchDevice.pci) { try ScratchDevice($0) }
        }
        guard openDescriptors() >= before + 2 * turns else { exit(1) }
        // A thread names itself when it runs.
        guard eventually({ threadsNamed("scratch-bell") == turns }) else { exit(2) }
        withExtendedLifetime(servers) {}
      }
      guard eventually({ threadsNamed("scratch-bell") == 0 }) else { exit(3) }
      guard eventually({ openDescriptors() < before + turns }) else { exit(4) }
    }
  }
}
