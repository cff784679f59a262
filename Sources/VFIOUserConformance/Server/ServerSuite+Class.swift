internal import LinuxPrimitives

extension ServerSuite {
  /// The class code in configuration space (PCI 3.0, 6.2.1); nil when the device does not tell.
  package func classCode() -> UInt32? {
    let probe = Probe(path: path, before: .after(min(timeout, .seconds(1))), keeper: keeper)
    defer { probe.close() }
    do throws(Verdict) {
      let word = try probe.open().configuration(8, as: UInt32.self)
      return word >> 8
    } catch {
      return nil
    }
  }
}
