/// Makes a `Codable` type of a ``StateValue``.
///
/// A type that does not ask for a field that is there would lose it without a word: that is an error.
enum StateDecoder {
  /// A value of a type.
  ///
  /// - Parameter version: what `userInfo` shows to the type (``Swift/CodingUserInfoKey/savedStateVersion``).
  /// - Throws: for what is missing, of another kind, out of range, not asked for, or refused by the type's own
  ///   `init(from:)`.
  static func decode<State: Decodable>(
    _ type: State.Type, _ value: StateValue, version: UInt16 = 1
  ) throws(StateError) -> State {
    let log = ReadLog()
    let state: State
    do {
      state = try StateSource(value: value, path: [], log: log, version: version).decode(type)
    } catch let error as StateError {
      throw error
    } catch {
      throw StateError(Self.sentence(error))
    }
    if let name = log.firstUnread(in: value, at: "") {
      throw StateError("the field \(name) is unknown")
    }
    return state
  }

  /// What the standard library's errors say, in a sentence.
  private static func sentence(_ error: any Error) -> String {
    switch error as? DecodingError {
    case .dataCorrupted(let context)?, .typeMismatch(_, let context)?,
      .valueNotFound(_, let context)?:
      "\(StateSource.name(of: context.codingPath)): \(context.debugDescription)"
    case .keyNotFound(let key, let context)?:
      "the field \(StateSource.name(of: context.codingPath + [key])) is missing"
    default: "\(error)"
    }
  }
}

/// Which fields were asked for.
final class ReadLog {
  private var paths: Set<String> = []

  func add(_ path: String) { paths.insert(path) }

  /// The first field that nobody asked for.
  func firstUnread(in value: StateValue, at path: String) -> String? {
    switch value {
    case .record(let fields):
      for field in fields {
        let name = StateSource.join(path, field.name)
        guard paths.contains(name) else { return name }
        if let unread = firstUnread(in: field.value, at: name) { return unread }
      }
      return nil
    case .list(let values):
      return values.indices.lazy.compactMap {
        self.firstUnread(in: values[$0], at: StateSource.join(path, "\($0)"))
      }.first
    default: return nil
    }
  }
}

/// A value, where it is, and what has to be known to decode it.
struct StateSource {
  let value: StateValue
  let path: [any CodingKey]
  let log: ReadLog
  let version: UInt16

  static func join(_ path: String, _ name: String) -> String {
    path.isEmpty ? name : "\(path).\(name)"
  }

  static func name(of path: [any CodingKey]) -> String {
    path.map(\.stringValue).joined(separator: ".")
  }

  func child(_ value: StateValue, _ key: any CodingKey) -> StateSource {
    StateSource(value: value, path: path + [key], log: log, version: version)
  }

  /// The usual types without the detour over a decoder.
  func decode<State: Decodable>(_ type: State.Type) throws -> State {
    if type == [UInt8].self, case .bytes(let bytes) = value, let bytes = bytes as? State {
      return bytes
    }
    return try State(from: StateDecoding(source: self))
  }

  func mismatch(_ expected: Any.Type) -> DecodingError {
    .typeMismatch(
      expected,
      DecodingError.Context(
        codingPath: path, debugDescription: "\(value.kind) where \(expected) is expected"))
  }

  func number<Number: FixedWidthInteger>(_ type: Number.Type) throws -> Number {
    let number: Number?
    switch value {
    case .unsigned(let value): number = Number(exactly: value)
    case .negative(let value): number = Number(exactly: value)
    default: throw mismatch(type)
    }
    guard let number else {
      throw DecodingError.dataCorrupted(
        DecodingError.Context(
          codingPath: path, debugDescription: "\(value.kind) does not fit into \(type)"))
    }
    return number
  }
}

extension StateValue {
  /// What it is, for an error message.
  fileprivate var kind: String {
    switch self {
    case .none: "nothing"
    case .bool(let isTrue): "\(isTrue)"
    case .unsigned(let number): "\(number)"
    case .negative(let number): "\(number)"
    case .real(let number): "\(number)"
    case .bytes(let bytes): "\(bytes.count) bytes"
    case .text: "a text"
    case .list(let values): "a list of \(values.count)"
    case .record(let fields): "a record of \(fields.count) fields"
    }
  }
}
