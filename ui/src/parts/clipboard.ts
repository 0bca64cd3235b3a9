/** Puts a text on the clipboard. */

/** Whether it is there now. */
export async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** Browsers have a clipboard only for pages of this machine or of https; the old way works everywhere. */
function copyBySelection(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  const focused = document.activeElement;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand?.("copy") === true;
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return isCopied;
}
