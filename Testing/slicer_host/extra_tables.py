"""Tables for Qt 5.15 classes that the list read off a real Slicer leaves out: what is documented and often used."""

from __future__ import annotations

_GEOMETRY = "isEmpty isNull isValid"
_INT_RECT = "x y width height left right top bottom center topLeft bottomRight size setX setY setWidth setHeight"
_BYTES_IO = "open close isOpen read readAll readLine write atEnd bytesAvailable errorString flush size seek pos"

EXTRA: dict[str, dict] = {
    "QPoint": {"others": "x y setX setY isNull manhattanLength"},
    "QPointF": {"others": "x y setX setY isNull toPoint"},
    "QSizeF": {"others": f"width height setWidth setHeight toSize {_GEOMETRY}"},
    "QRect": {"others": f"{_INT_RECT} contains intersects united adjusted translated moveTo {_GEOMETRY}"},
    "QRectF": {"others": f"{_INT_RECT} contains toRect {_GEOMETRY}"},
    "QMargins": {"others": "left right top bottom"},
    "QLocale": {"others": "name language country bcp47Name nativeLanguageName toString C English"},
    "QPixmap": {"others": "load save scaled scaledToWidth scaledToHeight fill toImage width height isNull size rect"},
    "QImage": {"others": "load save scaled width height isNull size pixel pixelColor Format_ARGB32 Format_RGB32"},
    "QPalette": {
        "others": "color setColor brush setBrush Window WindowText Base AlternateBase Text Button ButtonText "
        "BrightText Highlight HighlightedText Light Dark Mid Active Inactive Disabled Normal"
    },
    "QBrush": {"others": "color setColor style setStyle"},
    "QFontMetrics": {"others": "height lineSpacing ascent descent boundingRect elidedText horizontalAdvance"},
    "QModelIndex": {"others": "row column isValid data parent sibling"},
    "QItemSelection": {"others": "indexes isEmpty size"},
    "QSpacerItem": {"others": "changeSize sizeHint"},
    "QWidgetItem": {"others": "widget sizeHint isEmpty"},
    "QTextCursor": {
        "others": "movePosition insertText setPosition position atEnd select removeSelectedText selectedText "
        "Start End StartOfLine EndOfLine MoveAnchor KeepAnchor Document"
    },
    "QStyle": {
        "base": "QObject",
        "others": "standardIcon standardPixmap pixelMetric polish unpolish SP_MessageBoxInformation "
        "SP_MessageBoxWarning SP_MessageBoxCritical SP_MediaPlay SP_MediaPause SP_MediaStop SP_MediaSeekForward "
        "SP_MediaSeekBackward SP_DialogApplyButton SP_DialogCancelButton SP_DialogSaveButton SP_BrowserReload "
        "SP_DirOpenIcon SP_FileIcon SP_TrashIcon SP_ArrowBack SP_DialogOkButton SP_DialogCloseButton",
    },
    "QEventLoop": {
        "base": "QObject",
        "slots": ["quit()"],
        "others": "exec exit isRunning processEvents wakeUp AllEvents ExcludeUserInputEvents "
        "ExcludeSocketNotifiers WaitForMoreEvents",
    },
    "QFile": {
        "base": "QObject",
        "others": f"exists remove rename fileName setFileName copy ReadOnly WriteOnly ReadWrite Append Text Truncate "
        f"{_BYTES_IO}",
    },
    "QDir": {"others": "exists mkpath absolutePath absoluteFilePath filePath path homePath tempPath cleanPath"},
    "QFileInfo": {"others": "exists isFile isDir fileName baseName absoluteFilePath suffix size"},
    "QScreen": {"base": "QObject", "properties": {"size": "QSize (read-only)", "geometry": "QRect (read-only)"}},
    "QScrollBar": {
        "base": "QWidget",
        "properties": {"value": "int", "minimum": "int", "maximum": "int", "singleStep": "int", "pageStep": "int"},
        "signals": ["valueChanged(int)", "rangeChanged(int,int)"],
        "slots": ["setValue(int)", "setRange(int,int)"],
        "others": "setMinimum setMaximum setSingleStep setPageStep",
    },
    "QAbstractItemModel": {
        "base": "QObject",
        "signals": ["rowsInserted(QModelIndex,int,int)", "rowsRemoved(QModelIndex,int,int)", "modelReset()"],
        "others": "index data rowCount columnCount flags headerData",
    },
    "QItemSelectionModel": {
        "base": "QObject",
        "signals": [
            "selectionChanged(QItemSelection,QItemSelection)",
            "currentChanged(QModelIndex,QModelIndex)",
            "currentRowChanged(QModelIndex,QModelIndex)",
        ],
        "others": "selectedRows selectedIndexes hasSelection currentIndex isSelected",
    },
    "QTextDocument": {"base": "QObject", "others": "toPlainText setPlainText blockCount isEmpty"},
    "QTextEdit": {
        "base": "QWidget",
        "properties": {"plainText": "QString", "html": "QString", "readOnly": "bool", "placeholderText": "QString"},
        "signals": ["textChanged()", "selectionChanged()", "copyAvailable(bool)"],
        "slots": ["append(QString)", "clear()", "copy()", "selectAll()", "setHtml(QString)", "setPlainText(QString)"],
        "others": "toPlainText toHtml setReadOnly isReadOnly textCursor setTextCursor verticalScrollBar document",
    },
    "QStatusBar": {
        "base": "QWidget",
        "signals": ["messageChanged(QString)"],
        "slots": ["clearMessage()", "showMessage(QString)", "showMessage(QString,int)"],
        "others": "currentMessage addWidget addPermanentWidget removeWidget",
    },
    "QToolBar": {"base": "QWidget", "others": "addAction addWidget addSeparator"},
    "QMenuBar": {"base": "QWidget", "others": "addMenu addAction"},
    "QDockWidget": {"base": "QWidget", "others": "widget setWidget toggleViewAction"},
    "QInputDialog": {"base": "QDialog", "others": "getText getInt getDouble getItem"},
    "QToolTip": {"others": "showText hideText"},
    "QStackedLayout": {"base": "QObject", "others": "addWidget setCurrentIndex setCurrentWidget count widget"},
    "QActionGroup": {"base": "QObject", "signals": ["triggered(QAction*)"], "others": "addAction actions setExclusive"},
    "QSignalBlocker": {"others": "unblock reblock"},
    "QHostAddress": {"others": "toString isNull LocalHost Any AnyIPv4"},
    "QKeyEvent": {
        "others": "type key text modifiers isAutoRepeat count accept ignore isAccepted setAccepted KeyPress KeyRelease"
    },
    "QMouseEvent": {"others": "type x y pos button buttons modifiers accept ignore isAccepted setAccepted"},
    "QTemporaryDir": {"others": "path isValid remove"},
    "QDateTime": {"others": "currentDateTime toString isValid toMSecsSinceEpoch date time addSecs"},
    "QTranslator": {"base": "QObject", "others": "load isEmpty translate"},
    "QCoreApplication": {
        "base": "QObject",
        "others": "instance processEvents translate installTranslator removeTranslator postEvent sendEvent",
    },
    "QGuiApplication": {"base": "QCoreApplication", "others": "clipboard primaryScreen"},
    "ctkVTKAbstractView": {
        "base": "QWidget",
        "properties": {"cornerAnnotationText": "QString", "renderEnabled": "bool", "maximumUpdateRate": "double"},
        "slots": ["forceRender()", "isRenderPaused()", "pauseRender()", "requestRender()", "resumeRender()"]
        + ["scheduleRender()", "setRenderPaused(bool)", "cornerAnnotation()", "renderWindow()"]
        + ["setCornerAnnotationText(QString)"],
    },
    "qSlicerWidget": {
        "base": "QWidget",
        "signals": ["mrmlSceneChanged(vtkMRMLScene*)"],
        "slots": ["setMRMLScene(vtkMRMLScene*)"],
        "others": "mrmlScene",
    },
    "qSlicerScriptedLoadableModuleWidget": {
        "base": "qSlicerWidget",
        "slots": ["enter()", "exit()", "reload()", "setup()"],
        "others": "self pythonSource setPythonSource module moduleName isEntered setEditedNode nodeEditable",
    },
    "qSlicerModuleManager": {
        "base": "QObject",
        "signals": ["moduleLoaded(QString)", "moduleAboutToBeUnloaded(QString)", "moduleUnloaded(QString)"],
        "others": "factoryManager module modulesNames isLoaded",
    },
    "qSlicerModuleFactoryManager": {
        "base": "QObject",
        "others": "loadedModuleNames instantiatedModuleNames registeredModuleNames isLoaded loadModules",
    },
    "qSlicerCoreIOManager": {
        "base": "QObject",
        "signals": ["newFileLoaded(qSlicerIO::IOProperties)", "fileSaved(qSlicerIO::IOProperties)"],
        "others": "loadNodes saveNodes fileType fileWriterFileType",
    },
    "qSlicerModuleSelectorToolBar": {
        "base": "QToolBar",
        "signals": ["moduleSelected(QString)"],
        "slots": ["selectModule(QString)"],
        "properties": {"selectedModule": "QString (read-only)"},
    },
}

_MODULE_READ_ONLY = "name path slicerWikiUrl defaultDocumentationLink"
_MODULE_TEXTS = "title helpText acknowledgementText"
_MODULE_LISTS = "categories contributors dependencies associatedNodeTypes"
EXTRA["qSlicerAbstractModule"] = {
    "base": "QObject",
    "properties": dict.fromkeys(_MODULE_READ_ONLY.split(), "QString (read-only)")
    | dict.fromkeys(_MODULE_TEXTS.split(), "QString (read-only)")
    | dict.fromkeys(_MODULE_LISTS.split(), "QStringList (read-only)")
    | {"index": "int (read-only)", "hidden": "bool (read-only)", "isInstalled": "bool (read-only)"}
    | {"isBuiltIn": "bool (read-only)", "widgetRepresentationCreationEnabled": "bool", "icon": "QIcon (read-only)"},
    "others": "logic widgetRepresentation createNewWidgetRepresentation mrmlScene appLogic setMRMLScene",
}
EXTRA["qSlicerScriptedLoadableModule"] = {
    "base": "qSlicerAbstractModule",
    "properties": dict.fromkeys(_MODULE_TEXTS.split(), "QString")
    | dict.fromkeys(_MODULE_LISTS.split(), "QStringList")
    | {"index": "int", "hidden": "bool", "icon": "QIcon", "extensions": "QVariantMap"},
    "others": "pythonSource",
}
