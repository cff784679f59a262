/// Something that a guest test needs did not happen; says what was awaited and what came instead.
struct HarnessError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) {
    self.description = description
  }
}
