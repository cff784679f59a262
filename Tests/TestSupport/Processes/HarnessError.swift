/// Something that a guest test needs did not happen; says what was awaited and what came instead.
package struct HarnessError: Error, CustomStringConvertible {
  package let description: String

  package init(_ description: String) {
    self.description = description
  }
}
