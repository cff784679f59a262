/// What a FIFO holds.
protocol FIFOElement: Codable, Sendable {
  /// What is in a place that nobody uses.
  static var filler: Self { get }
}

extension UInt8: FIFOElement {
  static var filler: UInt8 { 0 }
}

/// A queue of at most sixteen elements without heap allocation.
struct ShortFIFO<Element: FIFOElement>: Sendable {
  static var depth: Int { 16 }

  private var slots: [16 of Element]
  private var head = 0
  private(set) var count = 0

  init() { slots = .init(repeating: Element.filler) }

  var isEmpty: Bool { count == 0 }

  /// The oldest element; setting it has no effect if the queue is empty.
  var first: Element? {
    get { isEmpty ? nil : slots[head] }
    set { if !isEmpty, let newValue { slots[head] = newValue } }
  }

  /// Appends an element.
  ///
  /// - Precondition: there is room.
  mutating func append(_ element: Element) {
    precondition(count < Self.depth, "a queue of \(Self.depth) is full")
    slots[slot(count)] = element
    count += 1
  }

  /// Replaces the newest element.
  ///
  /// - Precondition: the queue is not empty.
  mutating func replaceLast(with element: Element) {
    precondition(count > 0, "an empty queue has no last element")
    slots[slot(count - 1)] = element
  }

  mutating func popFirst() -> Element? {
    guard let element = first else { return nil }
    head = slot(1)
    count -= 1
    return element
  }

  mutating func removeAll() {
    count = 0
  }

  func contains(where matches: (Element) -> Bool) -> Bool {
    for index in 0..<count where matches(slots[slot(index)]) { return true }
    return false
  }

  private func slot(_ index: Int) -> Int { (head + index) % Self.depth }
}

extension ShortFIFO: Codable {
  /// Decodes the elements, the oldest first.
  ///
  /// - Throws: when there are more than fit.
  init(from decoder: any Decoder) throws {
    let elements = try [Element](from: decoder)
    guard elements.count <= Self.depth else {
      throw DecodingError.dataCorrupted(
        DecodingError.Context(
          codingPath: decoder.codingPath,
          debugDescription: "\(elements.count) elements, a FIFO holds \(Self.depth)"))
    }
    self.init()
    for element in elements { append(element) }
  }

  /// Encodes the elements, the oldest first.
  func encode(to encoder: any Encoder) throws {
    try (0..<count).map { slots[slot($0)] }.encode(to: encoder)
  }
}
