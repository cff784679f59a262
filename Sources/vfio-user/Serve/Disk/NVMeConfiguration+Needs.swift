import NVMeDevice
import SystemPackage
import VFIOUserProgram

extension NVMeConfiguration {
  /// What the disk opens again while it is served: its files and their states, when it migrates or is upgraded, and
  /// connections to its servers.
  var needs: SandboxNeeds {
    var needs = connections
    for one in namespaces {
      if let file = one.storage as? StorageFile { needs = needs + file.needs }
      guard let store = one.store else { continue }
      needs.files.append(.init(store.path, store.isWritable ? [.read, .write] : .read))
      if store.wasMade { needs.made.append(store.path) }
    }
    return needs
  }

  private var connections: SandboxNeeds {
    let asked = nbdNeeds
    guard asked != NBDNeeds() else { return SandboxNeeds() }
    var needs = SandboxNeeds(
      files: (asked.sockets + asked.files).map { .init(FilePath($0), .read) },
      ports: Set(asked.ports))
    needs.connects = !asked.sockets.isEmpty
    if asked.looksUpNames { needs = needs + .names }
    return needs
  }
}

extension StorageFile {
  fileprivate var needs: SandboxNeeds {
    var needs = SandboxNeeds()
    guard kind != .memory else { return needs }
    let path = FilePath(name)
    needs.files.append(.init(path, isReadOnly ? .read : [.read, .write]))
    if wasMade { needs.made.append(path) }
    if let folder = identityFolder { needs.files.append(.init(folder, .read)) }
    return needs
  }
}
