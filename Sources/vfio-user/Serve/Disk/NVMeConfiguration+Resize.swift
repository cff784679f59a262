import NVMeDevice
import VFIOUserProgram

extension NVMeConfiguration {
  /// Makes the file of a namespace larger, if a size was asked for; the disk then has to look at it.
  ///
  /// - Throws: ``CommandError`` with the reason.
  func resize(_ request: ResizeParameters) throws {
    guard let text = request.size else { return }
    let size: UInt64
    do { size = try ByteCount(text: text).bytes } catch { throw CommandError("\(error)") }
    let storage = try namespace(request.namespace).storage
    do {
      guard let file = storage as? StorageFile else { throw GrowthError.export }
      try file.grow(to: size)
    } catch {
      throw CommandError("\(storage.name) cannot be made larger: \(error)")
    }
  }

  private func namespace(_ number: Int?) throws -> NamespaceConfiguration {
    guard let number = number ?? (namespaces.count == 1 ? 1 : nil) else {
      throw CommandError("the disk has \(namespaces.count) namespaces: say which one, from 1")
    }
    guard 1...namespaces.count ~= number else {
      throw CommandError(
        "there is no namespace \(number): the disk has 1 to \(namespaces.count)")
    }
    return namespaces[number - 1]
  }
}
