/// Why a device cannot be handed over to a new version of its program, now or at all.
package struct HandoverError: Error, Equatable, Sendable, CustomStringConvertible {
  /// A sentence with the cause.
  package let description: String

  package init(_ description: String) { self.description = description }

  /// Runs `body`; whatever it throws becomes an error of this type.
  ///
  /// - Parameter what: said in front of an error of another type.
  static func wrapping<Result: ~Copyable>(
    _ what: String = "", _ body: () throws -> Result
  ) throws(HandoverError) -> Result {
    do {
      return try body()
    } catch let error as HandoverError {
      throw error
    } catch {
      throw HandoverError(what.isEmpty ? "\(error)" : "\(what): \(error)")
    }
  }
}
