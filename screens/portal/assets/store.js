/* What this browser keeps for the portal, in IndexedDB: the newest head of the log that it has
   verified, and the device's key if there is one. Nothing about answers, and no name. */

const settled = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
const within = async (mode, act) => {
  const opening = indexedDB.open("tahini-portal", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore("kept");
  const database = await settled(opening);
  try {
    return await act(database.transaction("kept", mode).objectStore("kept"));
  } finally {
    database.close();
  }
};

export const kept = (name) => within("readonly", (store) => settled(store.get(name)));
export const keep = (name, value) => within("readwrite", (store) => settled(store.put(value, name)));
export const drop = (name) => within("readwrite", (store) => settled(store.delete(name)));

/* In one transaction, so that of two tabs the later one never goes back. */
export const keepNewer = (name, value) =>
  within("readwrite", async (store) => {
    const old = await settled(store.get(name));
    if (!old || old.size < value.size) await settled(store.put(value, name));
  });
