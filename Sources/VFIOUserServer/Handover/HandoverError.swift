/// Why a device cannot be handed over to a new version of its program, now or at all.
package struct HandoverError: Error, Equatable, Sendable, CustomStringConvertible {
  /// A sentence with the cause.
  package let description: String

  package init(_ description: String) { self.description = description }
}
