/// Typed access to the fields of a JSON object by name.
struct JSONFields {
  /// The prefix of field names in error messages: empty, or the object's name and a dot.
  private let path: String
  private let fields: [String: JSONValue]

  /// Takes the fields of `value`, which error messages call `name`.
  init(_ value: JSONValue, name: String, path: String = "") throws(WireError) {
    guard case .object(let fields) = value else {
      throw .malformedVersionData("\(name) must be an object, is \(value)")
    }
    self.fields = fields
    self.path = path
  }

  /// The names of all fields.
  var names: some Sequence<String> { fields.keys }

  /// The object in a field; error messages prefix its fields with its name unless `path` is given.
  func object(_ name: String, path inner: String? = nil) throws(WireError) -> JSONFields? {
    guard let value = fields[name] else { return nil }
    return try JSONFields(value, name: path + name, path: inner ?? path + name + ".")
  }

  /// The Boolean in a field.
  func boolean(_ name: String) throws(WireError) -> Bool? {
    guard let value = fields[name] else { return nil }
    guard case .boolean(let boolean) = value else {
      throw .malformedVersionData("\(path)\(name) must be true or false, is \(value)")
    }
    return boolean
  }

  /// The integer in a field.
  func whole(
    _ name: String, in range: ClosedRange<UInt64>
  ) throws(WireError) -> UInt64? {
    guard let value = fields[name] else { return nil }
    guard case .whole(let number) = value, range.contains(number) else {
      throw .malformedVersionData(
        "\(path)\(name) must be a whole number from \(range.lowerBound) to \(range.upperBound), "
          + "is \(value)")
    }
    return number
  }

  /// The page sizes in a field as a bit mask, with no bit below `smallest`.
  func pageSizes(_ name: String, smallest: UInt64) throws(WireError) -> UInt64? {
    guard let sizes = try whole(name, in: 1...UInt64.max) else { return nil }
    guard sizes & (smallest - 1) == 0 else {
      throw .malformedVersionData("\(path)\(name) has sizes below \(smallest), is \(sizes)")
    }
    return sizes
  }

  /// The page size in a field, a power of two.
  func pageSize(_ name: String) throws(WireError) -> UInt64? {
    guard let size = try whole(name, in: 1...UInt64.max) else { return nil }
    guard size.nonzeroBitCount == 1 else {
      throw .malformedVersionData("\(path)\(name) must be a power of two, is \(size)")
    }
    return size
  }
}
