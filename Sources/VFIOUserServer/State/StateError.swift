/// Why a state cannot be saved or loaded.
public struct StateError: Error, Equatable, Sendable, CustomStringConvertible {
  /// A sentence with the names and the numbers.
  public let description: String

  /// Creates an error.
  ///
  /// - Parameter description: what is wrong, with both numbers where two do not fit.
  public init(_ description: String) { self.description = description }
}
