/// The word of an entry of a registry: like an enumeration whose cases are the entries of a list.
package protocol RegistryWord: RawRepresentable, CaseIterable, Hashable, Sendable where RawValue == String {
    /// The metatype of an entry.
    associatedtype Entry: Sendable
    /// The list, in the order in which users read it.
    static var entries: [Entry] { get }
    init(_ entry: Entry)
}

extension RegistryWord {
    package init?(rawValue: String) {
        guard let found = Self.allCases.first(where: { $0.rawValue == rawValue }) else { return nil }
        self = found
    }

    package static var allCases: [Self] { entries.map { Self($0) } }

    package static func == (first: Self, second: Self) -> Bool { first.rawValue == second.rawValue }

    package func hash(into hasher: inout Hasher) { hasher.combine(rawValue) }
}
