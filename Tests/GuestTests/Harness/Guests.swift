import Testing

/// Tests that boot real guests.
///
/// One at a time: each keeps more than one processor busy.
///
/// QEMU emulates the processor (TCG), since there is no KVM in most places where tests run.
@Suite(
  .serialized,
  .enabled(if: GuestEnvironment.isComplete, "\(GuestEnvironment.remedy)"))
enum Guests {}
